"""A question comes in; all the chains, joined into one Runnable, turn it into an `Answer`."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from chains.answers import Answer
from chains.citing import source_of
from chains.evidence import best_sentence
from chains.post_filter import Checked
from chains.queries import Query, Turn
from chains.sufficiency import sufficiency
from chains.trace import Trace


def build_rag(
    *,
    rewriter: Runnable[Any, list[Query]],
    qa: Runnable[dict[str, Any], dict[str, Any]],
    check_draft: Callable[[str, str, list[Document]], Checked],
    correct: Callable[[Checked], Checked] = lambda checked: checked,
) -> Runnable[dict[str, Any], dict[str, Any]]:
    """Join rewriter, RetrievalQA and post-filter: {"question", "history"} → …, "source_documents", "result", "answer".

    `stream` yields each key as soon as it is there, the result token by token and the `Answer` last.
    `check_draft` takes the draft, the stand-alone question and the source documents; `correct` what it returns.
    """

    def finish(state: dict[str, Any]) -> Answer:
        passages: list[Document] = state["source_documents"]
        checked = correct(check_draft(state["result"], state["query"], passages))
        return Answer(
            question=state["question"],
            queries=tuple(query.text for query in state["queries"]),
            answer=checked.text,
            sources=tuple(source_of(n, p, best_sentence(p), p.metadata["score"]) for n, p in enumerate(passages, 1)),
            statements=checked.statements,
            cited=checked.cited,
            sufficiency=round(sufficiency(state["query"], passages), 4),
            abstained=checked.abstained,
            quoted=checked.quoted,
            dropped=state.get("dropped", 0),
            forgotten=state["queries"][0].forgotten,
        )

    return (
        RunnablePassthrough.assign(queries=rewriter)
        | RunnablePassthrough.assign(query=lambda state: state["queries"][0].text)
        | qa
        | RunnablePassthrough.assign(answer=RunnableLambda(finish, name="check"))
    )


def stream_answer(
    rag: Runnable[dict[str, Any], dict[str, Any]],
    question: str,
    history: Sequence[Turn] = (),
    trace: Trace | None = None,
) -> Iterator[str | Answer]:
    """Yield the model's draft piece by piece, then the checked `Answer` with its timings (ms) and usage (tokens).

    `trace` collects these, if it is given: a Recorder (chains/explain.py) has more of the run to tell.
    """
    trace = trace or Trace()
    asked = {"question": question, "history": list(history)}
    answers: list[Answer] = []
    for chunk in rag.stream(asked, config={"callbacks": [trace]}):
        yield from filter(None, [chunk.get("result")])
        answers += filter(None, [chunk.get("answer")])
    yield _timed(answers[0], trace)


async def astream_answer(
    rag: Runnable[dict[str, Any], dict[str, Any]], question: str, history: Sequence[Turn] = (), user: str = ""
) -> AsyncGenerator[str | Answer]:
    """Yield the same without blocking the event loop; `user` takes turns at the model with the others."""
    trace = Trace()
    asked = {"question": question, "history": list(history)}
    answers: list[Answer] = []
    async for chunk in rag.astream(asked, config={"callbacks": [trace], "metadata": {"user": user}}):
        if chunk.get("result"):
            yield chunk["result"]
        answers += filter(None, [chunk.get("answer")])
    yield _timed(answers[0], trace)


def _timed(answer: Answer, trace: Trace) -> Answer:
    """Add what the trace of a run that has ended tells: only at its end has the last stage its time."""
    return replace(answer, timings=trace.total(), usage=trace.usage, finish_reason=trace.finish_reason)


def ask(rag: Runnable[dict[str, Any], dict[str, Any]], question: str, history: Sequence[Turn] = ()) -> Answer:
    """Return the checked answer to a question."""
    *_, answer = stream_answer(rag, question, history)
    assert isinstance(answer, Answer)  # noqa: S101  (what stream_answer promises)
    return answer
