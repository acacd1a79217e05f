"""Expansion: the model's queries are bounded, stand beside the question, and are none where the model fails."""

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from openai import OpenAIError

from chains.expansion import build_expander
from chains.queries import Draft, Query
from errors import ModelError
from inference.remote_model import remote_model
from inference.structured_output import build_structured
from prompts import load_prompt

QUESTION = "How many litres does the kettle {Orion} hold?"
DRAFT: Draft = {"history": [], "queries": (Query(QUESTION), Query("another", 0.5))}


class Writer(GenericFakeChatModel):
    """A queued fake that answers in a schema as the local model does."""

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        return build_structured(self, schema, include_raw)


def expand(kind: str, *answers: str, weak: bool = True) -> Sequence[Query]:
    llm = Writer(messages=iter(AIMessage(answer) for answer in answers))  # raises when it is asked once too often
    prompt = load_prompt(kind.replace("-", "_"))
    step = build_expander(kind, llm, prompt, is_weak=lambda question: weak)
    found = step.invoke(DRAFT)["queries"]
    assert found[:2] == DRAFT["queries"]
    return found[2:]


def test_other_wordings_are_read_by_both_legs_and_share_a_weight() -> None:
    found = expand("multi-query", json.dumps({"questions": ["What does the  kettle hold?", "The kettle's volume?"]}))
    assert [query.text for query in found] == ["What does the kettle hold?", "The kettle's volume?"]
    assert [query.weight for query in found] == [0.25, 0.25]
    assert all(query.dense and query.keyword and query.made_by == "multi-query" for query in found)


def test_a_line_end_that_the_grammar_lets_through_is_a_space() -> None:
    (found,) = expand("multi-query", '{"questions": ["What does\nthe kettle hold?"]}')
    assert found.text == "What does the kettle hold?"


def test_an_imagined_passage_is_read_by_the_dense_leg_only() -> None:
    (found,) = expand("hyde", json.dumps({"passage": "The kettle Orion holds three litres."}))
    assert found == Query("The kettle Orion holds three litres.", 0.5, keyword=False, made_by="hyde")


def test_the_model_is_not_asked_where_the_question_finds_enough() -> None:
    assert not expand("hyde", weak=False)


@pytest.mark.parametrize(
    "answer",
    [
        '{"questions": ["What does the ket',
        '{"questions": []}',
        '{"questions": ["' + "long " * 50 + '"]}',
        "no",
        "",
        "[]",
    ],
)
def test_what_is_not_whole_or_not_in_bounds_is_left_out(answer: str) -> None:
    assert not expand("multi-query", answer)


@pytest.mark.parametrize("kind", ["multi-query", "hyde"])
def test_the_packaged_model_keeps_to_the_bounds(kind: str, llm: BaseChatModel) -> None:
    prompt = load_prompt(kind.replace("-", "_"))
    step = build_expander(kind, llm, prompt, is_weak=lambda question: True, failures=(ModelError,))
    found = step.invoke(DRAFT)["queries"]
    assert found[:2] == DRAFT["queries"]
    assert len(found) <= 5
    assert all(0 < len(query.text) <= 400 for query in found[2:])


def test_a_model_that_fails_leaves_the_queries_as_they_are(llm: BaseChatModel) -> None:
    # more prompt than the context holds: a real failure of the real model
    long: Draft = {"history": [], "queries": (Query("kettle " * 5000),)}
    prompt = load_prompt("hyde")
    step = build_expander("hyde", llm, prompt, is_weak=lambda question: True, failures=(ModelError,))
    assert step.invoke(long)["queries"] == long["queries"]
    with pytest.raises(ModelError):
        build_expander("hyde", llm, prompt, is_weak=lambda question: True).invoke(long)


@pytest.fixture
def server() -> Iterator[str]:
    """Answer as an OpenAI-compatible server does, slowly when the model is called slow, and not at all when bad."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if asked["model"] == "bad":
                self.send_error(500, "out of memory")
                return
            if asked["model"] == "slow":
                released.wait(30)
            assert asked["response_format"]["type"] == "json_schema"
            message = {"role": "assistant", "content": '{"passage": "The kettle Orion holds three litres."}'}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": asked["model"], "choices": [choice]}
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # the one who asked has gone
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    released = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1"
        released.set()
        http.shutdown()


@pytest.mark.parametrize(("model", "added"), [("good", 1), ("bad", 0), ("slow", 0)])
def test_a_server_that_fails_or_is_late_leaves_the_queries_as_they_are(model: str, added: int, server: str) -> None:
    with remote_model(server, model) as llm:
        step = build_expander(
            "hyde",
            llm,
            load_prompt("hyde"),
            is_weak=lambda question: True,
            failures=(OpenAIError,),
            timeout=5.0 if model == "good" else 0.3,
        )
        assert len(step.invoke(DRAFT)["queries"]) == 2 + added
