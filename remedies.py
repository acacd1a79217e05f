"""A run that lost a passage comes in; the changes of the settings that keep it, each tried, go out."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chains.explain import Recorder, lost_at, places
from chains.queries import Query
from chains.sufficiency import sufficiency
from loaders.filters import Filter
from searching import Index, build_search
from settings import PREFIX, Settings

CHANGES = 5  # settings that are raised one after the other to keep a passage
MOST_PASSAGES = 1000  # that -k may ask for
WEIGHTS = [share / 10 for share in range(11)]  # of the keyword leg, that are tried
SAME = 1e-5  # cosines that differ by less are equal


@dataclass(frozen=True)
class Asked:
    """How was searched: `limit` passages, as `-k` said, else RAG_TOP_K."""

    settings: Settings
    index: Index
    limit: int
    where: Filter | None = None
    by_option: bool = False


def remedies(asked: Asked, seen: Recorder, ids: Collection[str], lost: str) -> list[str]:
    """Return the changes of which each alone keeps one of the chunks, as they are written; empty if none does."""
    if not lost:
        return []
    if lost == "fit":
        last = places(seen, ids)[seen.final].rank
        dropped = seen.passages[len(seen.kept or ()) : last]
        more = sum(len(passage.page_content.encode()) // 2 for passage in dropped)  # more than tokens, nearly always
        enough = -(-(asked.settings.context_tokens + more) // 256) * 256
        return [f"{PREFIX}CONTEXT_TOKENS={enough}, if the model allows as many"]
    if lost == "read":
        return [f"{PREFIX}ANSWER_STYLE=write"] if seen.prompt else _evidence(seen)
    queries = [each.query for each in seen.found]
    found = [_raised(asked, queries, ids)]
    if lost in ("light", "rerank"):
        others = ["off"] if asked.settings.reranker == "light" else ["light", "off"]
        found += [text for name in others if (text := _kept(asked, queries, ids, reranker=name))]
    if lost != "retrieve" and asked.settings.reranker in ("off", "light"):
        weights = sorted(WEIGHTS, key=lambda share: abs(share - asked.settings.keyword_weight))
        found.append(next(filter(None, (_kept(asked, queries, ids, keyword_weight=share) for share in weights)), ""))
    return list(filter(None, found))


def _kept(asked: Asked, queries: Sequence[Query], ids: Collection[str], **change: Any) -> str:
    """Return the change as it is written if it keeps one of the chunks, else nothing."""
    seen = run(_changed(asked, **change), queries)
    return "" if lost_at(seen, ids, asked.limit) else _written(asked, change)


def _raised(asked: Asked, queries: Sequence[Query], ids: Collection[str]) -> str:
    """Return the limits that keep one of the chunks when they are raised, each as little as will do."""
    changes: dict[str, int] = {}
    trial = asked
    for _ in range(CHANGES):
        seen = run(trial, queries)
        if not (lost := lost_at(seen, ids, trial.limit)):
            return _written(asked, changes)
        at = places(seen, ids)
        name, value = "top_k", 0
        if lost == "retrieve":
            name, value = "candidates", min(true_ranks(trial, queries, ids).values(), default=0)
        elif "fuse" not in at:
            value = fused_rank(trial, queries, ids)
            name = "rerank_candidates" if value <= _most("rerank_candidates") else "top_k"
        else:
            value = list(at.values())[-1].rank
        most = MOST_PASSAGES if name == "top_k" and asked.by_option else _most(name)
        now = trial.limit if name == "top_k" else getattr(trial.settings, name)
        if not now < value <= most:
            return ""
        changes[name] = value
        trial = replace(trial, limit=value) if name == "top_k" else _changed(trial, **{name: value})
    return ""


def _written(asked: Asked, changes: Mapping[str, object]) -> str:
    """Return changes as a user makes them: RAG_CANDIDATES=340 with -k 12."""
    options = {"top_k": f"-k {changes.get('top_k')}"} if asked.by_option else {}
    return " with ".join(options.get(name, f"{PREFIX}{name.upper()}={value}") for name, value in changes.items())


def _most(name: str) -> int:
    """Return the upper bound of a setting."""
    return int(next(rule.le for rule in Settings.model_fields[name].metadata if hasattr(rule, "le")))


def _evidence(seen: Recorder) -> list[str]:
    """Return the bound of evidence under which the model would have been asked."""
    probability = sufficiency(seen.found[0].query.text, seen.passages)
    return [f"{PREFIX}LEAST_EVIDENCE={math.floor(probability * 100) / 100}"] if seen.passages else []


def true_ranks(asked: Asked, queries: Sequence[Query], ids: Collection[str]) -> dict[str, int]:
    """Return the best rank of the chunks in each leg, however deep; a leg that would never bring one is left out."""
    store, where = asked.index.store, asked.where
    allowed, ranks = store.allowed(where), {"dense": math.inf, "keyword": math.inf}
    total = len(store.catalog.chunk_ids())
    for query in queries:
        if query.keyword and asked.settings.keyword_weight > 0:
            hits = enumerate(store.keyword(query.text, total, where), 1)
            ranks["keyword"] = min([ranks["keyword"], *(rank for rank, (id_, _) in hits if id_ in ids)])
        if query.dense and asked.settings.keyword_weight < 1:
            vector = np.asarray(asked.index.aim(query.text), dtype=np.float32)
            best = float((store.vectors_of(sorted(ids)) @ vector).max())
            ahead = 0  # compared with all, as an approximate index is not exact so far down
            for rows, vectors in store.catalog.stream_vectors():
                better = vectors @ vector > best + SAME
                ahead += sum(
                    more and (allowed is None or id_ in allowed.shown) for id_, more in zip(rows, better, strict=True)
                )
            ranks["dense"] = min(ranks["dense"], ahead + 1)
    return {leg: int(rank) for leg, rank in ranks.items() if rank < math.inf}


def run(asked: Asked, queries: Sequence[Query]) -> Recorder:
    """Search again."""
    seen = Recorder()
    search = build_search(asked.settings, asked.index, limit=asked.limit, where=asked.where)
    search.invoke(queries, config={"callbacks": [seen]})
    return seen


def _changed(asked: Asked, **changes: Any) -> Asked:
    return replace(asked, settings=asked.settings.model_copy(update=changes))


def fused_rank(asked: Asked, queries: Sequence[Query], ids: Collection[str]) -> int:
    """Return the rank of the chunks among all candidates."""
    everything = _changed(asked, reranker="off", rerank_candidates=2 * len(queries) * _most("candidates"))
    return places(run(everything, queries), ids)["fuse"].rank
