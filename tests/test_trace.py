"""Trace: each stage's milliseconds, the first token's and the whole run's, and the tokens that were used."""

import time
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from chains.trace import STAGES, STEPS, Trace

USED: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "input_token_details": {"cache_read": 2}}


def stage(name: str, seconds: float = 0.0) -> RunnableLambda[Any, Any]:
    def work(value: Any) -> Any:
        time.sleep(seconds)
        return value

    return RunnableLambda(work, name=name)


def fake(usage: Any = None) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage("one two three", usage_metadata=usage)]))


def test_each_named_stage_is_timed_and_others_are_not() -> None:
    trace = Trace()
    chain = stage("rewrite", 0.02) | stage("anything", 0.02) | stage("check", 0.05)
    chain.invoke("q", config={"callbacks": [trace]})
    assert trace.timings.keys() == {"rewrite", "check"}
    assert 20 <= trace.timings["rewrite"] < 50 <= trace.timings["check"]
    totals = trace.total()
    assert totals.keys() == {"rewrite_ms", "check_ms", "total_ms"}
    assert totals["total_ms"] >= 90


def test_every_stage_that_the_chains_name_is_known() -> None:
    trace = Trace()
    for name in (*STAGES, *STEPS):
        stage(name).invoke("q", config={"callbacks": [trace]})
    assert trace.timings.keys() == {*STAGES, *STEPS}


@pytest.mark.parametrize("streamed", [False, True])
def test_the_steps_of_a_stage_are_timed_in_it(streamed: bool) -> None:
    trace = Trace()
    inner = (stage("legs", 0.02) | stage("fuse", 0.04)).with_config(run_name="retrieve")
    chain = stage("rewrite", 0.03) | inner | stage("check", 0.01)
    if streamed:
        list(chain.stream("q", config={"callbacks": [trace]}))
    else:
        chain.invoke("q", config={"callbacks": [trace]})
    assert 20 <= trace.timings["legs"] < 40 <= trace.timings["fuse"]
    assert trace.timings["legs"] + trace.timings["fuse"] <= trace.timings["retrieve"]
    assert list(trace.timings) == ["rewrite", "legs", "fuse", "retrieve", "check"]


def test_usage_is_taken_from_what_the_model_counted() -> None:
    trace = Trace()
    fake(USED).invoke("q", config={"callbacks": [trace]})
    assert trace.usage == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def test_usage_of_several_calls_is_added_up() -> None:
    trace = Trace()
    for _ in range(2):
        fake(USED).invoke("q", config={"callbacks": [trace]})
    assert trace.usage["total_tokens"] == 20


def test_a_model_that_does_not_count_leaves_usage_empty() -> None:
    trace = Trace()
    fake().invoke("q", config={"callbacks": [trace]})
    assert trace.usage == {}


def test_the_first_token_is_timed_once_while_streaming() -> None:
    trace = Trace()
    seen = []
    for _ in (stage("rewrite") | fake()).stream("q", config={"callbacks": [trace]}):
        seen.append(trace.timings["first_token"])
        time.sleep(0.005)
    assert len(seen) > 2
    assert all(one == two for one, two in pairwise(seen))
    assert 0 < seen[0] <= trace.total()["total_ms"]


def test_a_stage_that_fails_is_not_timed() -> None:
    def fail(value: Any) -> Any:
        raise ValueError(value)

    trace = Trace()
    with pytest.raises(ValueError, match="q"):
        RunnableLambda(fail, name="retrieve").invoke("q", config={"callbacks": [trace]})
    assert trace.timings == {}


def test_why_the_answers_model_stopped_is_told_and_not_why_the_one_that_wrote_queries_did() -> None:
    def says(reason: str) -> GenericFakeChatModel:
        return GenericFakeChatModel(messages=iter([AIMessage("x", response_metadata={"finish_reason": reason})]))

    trace = Trace()
    says("length").with_config(run_name="generate").invoke("q", config={"callbacks": [trace]})
    assert trace.finish_reason == "length"
    chain = (says("length") | RunnableLambda(lambda _: "q")).with_config(run_name="rewrite")
    chain.invoke("q", config={"callbacks": [trace]})
    assert trace.finish_reason == ""
