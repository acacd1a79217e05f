"""A question with its conversation comes in; the queries to search with go out, the one to answer for first."""

from collections.abc import Iterable
from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda

from chains.queries import Asked, Draft, Query, distinct, normalise


def build_query_rewriter(steps: Iterable[Runnable[Draft, Draft]] = ()) -> Runnable[Any, list[Query]]:
    """Return a Runnable from {"question", "history"} to one or more queries, none blank and none twice.

    The question is normalised, then goes through the steps in their order: `build_follow_up`, `build_corrector`,
    `build_decomposer`, `build_synonyms`, `build_expander`. Each is a Runnable of its own and shows in a trace by its
    name. Without steps the normalised question is the only query.
    """

    def start(asked: Asked) -> Draft:
        return {"history": asked["history"], "queries": (Query(normalise(asked["question"])),)}

    def finish(draft: Draft) -> list[Query]:
        return list(distinct(draft["queries"]))

    chain: Runnable[Any, Any] = RunnableLambda(start, name="normalise")
    for step in steps:
        chain |= step
    return (chain | RunnableLambda(finish, name="queries")).with_config(run_name="rewrite")
