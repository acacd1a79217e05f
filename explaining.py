"""What a question's run left and the passages that were expected come in; where each was lost, and why, goes out."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from chains.evidence import READ, best_passage, best_sentence
from chains.explain import LEGS, Expected, Explanation, Place, Recorder, explain_run, lost_at, places
from chains.queries import Query
from loaders.catalog import SourceState, batches
from loaders.cleaning import searchable
from loaders.filters import Filter, allowed_sources, parse_filter, resolve
from remedies import Asked, fused_rank, remedies, run, true_ranks
from words import content_words

PAGE = re.compile(r"(.+)#(\d+)")
OPTIONS = {"sources": "source", "suffixes": "suffix", "languages": "language", "fields": "field"}  # of the script


def explain(asked: Asked, seen: Recorder, expected: Sequence[str] = ()) -> Explanation:
    """Return the explanation of a run: its passages, and for each expected SOURCE[#PAGE] what became of it.

    SOURCE is a path, a bare name or a glob, as in a filter. Remedies are tried: the search is run again with each.
    """
    return replace(explain_run(seen), expected=tuple(_judged(asked, seen, value) for value in expected))


def start(asked: Asked, is_wanted: bool) -> Recorder:
    """Return what records a run; where its explanation is wanted, what the first search loads is loaded before."""
    if is_wanted:
        run(asked, [Query("start")])
    return Recorder()


def _judged(asked: Asked, seen: Recorder, value: str) -> Expected:
    catalog = asked.index.store.catalog
    paged = PAGE.fullmatch(value)
    name, page = (paged[1], int(paged[2])) if paged else (value, None)
    known = catalog.sources()
    names = [source for source in known if name in (source, Path(source).name)]
    names = names or allowed_sources(catalog, parse_filter([name]) or Filter())
    if not names:
        return _unknown(value, name, list(known))
    states = [known[source] for source in names]
    chunks = _searched(asked, names, page)
    if not chunks:
        return _without_chunks(asked, value, states, page)
    allowed = asked.index.store.allowed(asked.where)
    shown = {allowed.shown.get(id_) if allowed and allowed.sources.intersection(names) else id_ for id_ in chunks}
    if allowed and (not allowed.sources.intersection(names) or not shown - {None}):
        return _filtered(asked, value, names)
    ids = frozenset(filter(None, shown))
    lost = lost_at(seen, ids, asked.limit)
    at = places(seen, ids)
    why = _why(asked, seen, ids, lost, at) + _copied(asked, names, ids)
    return Expected(value, lost, why, tuple(remedies(asked, seen, ids, lost)), at)


def _searched(asked: Asked, names: Sequence[str], page: int | None) -> list[str]:
    """Return the ids under which the chunks of these sources are searched: of a repeated one that of its keeper."""
    sql = (
        "SELECT coalesce(k.id, c.id) FROM chunks c LEFT JOIN chunks k ON k.rowid = c.kept_by"
        " WHERE (? IS NULL OR c.page = ?) AND c.source IN ({})"
    )
    rows = asked.index.store.catalog.rows
    parts = batches(names)
    return [row[0] for part in parts for row in rows(sql.format(",".join("?" * len(part))), (page, page, *part))]


def _unknown(value: str, name: str, known: list[str]) -> Expected:
    """Return that no source of that name was ever ingested."""
    if Path(name).expanduser().exists():
        return Expected(value, "ingest", "it was never ingested", (f"python main.py ingest {name}",))
    by_name = {Path(source).name: source for source in known}
    near = difflib.get_close_matches(Path(name).name, by_name, n=1, cutoff=0.5)
    remedies = (f"--expect {by_name[near[0]]}",) if near else ("python main.py ingest PATH",)
    return Expected(value, "ingest", "no source of this name is in the index", remedies)


def _without_chunks(asked: Asked, value: str, states: Sequence[SourceState], page: int | None) -> Expected:
    """Return why sources, or a page of them, have no chunk."""
    state, rows = states[0], asked.index.store.catalog.rows
    if state.failure:
        again = "convert it to a kind that is read" if state.skipped else f"mend it, then ingest it: {state.source}"
        return Expected(value, "ingest", f"it could not be read: {state.failure}", (again,))
    dropped = rows(
        "SELECT reason, text FROM drops WHERE source = ? AND (? IS NULL OR page = ?) ORDER BY start",
        (state.source, page, page),
    )
    if dropped:
        told = "; ".join(f"{reason}: {' '.join(text.split())[:60]}" for reason, text in dropped[:3])
        listed = "see documents --dropped; the rules are in loaders/noise.py and loaders/furniture.py"
        return Expected(value, "chunk", f"what it holds was dropped: {told}", (listed,))
    pages = [row[0] for row in rows("SELECT DISTINCT page FROM chunks WHERE source = ? ORDER BY page", (state.source,))]
    numbered = [str(number) for number in pages if number is not None]
    if pages and not numbered:
        return Expected(value, "chunk", "files of its kind have no pages", (f"--expect {state.source}",))
    there = f"text was found on {len(numbered)} pages, the last being {numbered[-1]}" if numbered else "it has no text"
    scanned = "scanned pages are read with RAG_OCR=eng, then: python main.py ingest --rebuild"
    return Expected(value, "chunk", "; ".join(filter(None, (there, state.note))), (scanned,))


def _filtered(asked: Asked, value: str, names: Sequence[str]) -> Expected:
    """Return which conditions of the filter leave the sources out."""
    options, where = [], asked.where or Filter()
    for field in fields(Filter):
        alone = replace(Filter(), **{field.name: getattr(where, field.name)})
        allowed = resolve(asked.index.store.catalog, alone)
        if allowed and not allowed.sources.intersection(names):
            options.append(f"--{OPTIONS.get(field.name, field.name)}")
    told = " and ".join(options) or "the conditions together"
    return Expected(value, "filter", f"the filter leaves it out: {told}", (f"leave out {told}",))


def _copied(asked: Asked, names: Sequence[str], ids: Collection[str]) -> str:
    """Return a note where all its text is searched in the name of another source."""
    found = asked.index.store.catalog.chunks(sorted(ids))
    if any(chunk.metadata["source"] in names for chunk in found):
        return ""
    at = found[0].metadata
    return f"; the same text stands in {at['source']}" + (f", page {at['page']}" if at["page"] else "")


def _why(asked: Asked, seen: Recorder, ids: Collection[str], lost: str, at: Mapping[str, Place]) -> str:
    kept = f"the first {asked.limit} are kept"
    if lost == "retrieve":
        ranks = true_ranks(asked, [each.query for each in seen.found], ids)
        told = [f"{leg} rank {ranks[leg]}" if leg in ranks else f"{leg}: not at all" for leg in LEGS]
        most = max(asked.settings.candidates, asked.limit)
        missed = "; the index is approximate and missed it" if ranks.get("dense", most + 1) <= most else ""
        return f"each leg brings {most} passages; {', '.join(told)}{missed}{_lacking(asked, seen, ids)}"
    if lost == "fuse":
        legs = ", ".join(f"{leg} rank {at[leg].rank}" for leg in LEGS if leg in at)
        rank = at["fuse"].rank if "fuse" in at else fused_rank(asked, [each.query for each in seen.found], ids)
        most_kept = kept if "fuse" in at else f"the first {max(asked.settings.rerank_candidates, asked.limit)} go on"
        return f"{legs}, fused rank {rank}; {most_kept}"
    if lost == "fit":
        return f"rank {at[seen.final].rank}; only {len(seen.kept or ())} passages fit the model's context"
    if lost == "read" and not seen.prompt:
        best = best_sentence(seen.passages[best_passage(seen.passages)]).score
        return f"passage {at['fit'].rank}, but the best sentence of all scores {best:.2f}: the model was not asked"
    if lost == "read":
        return f"passage {at['fit'].rank}, but the model reads the {READ} likeliest sentences of all passages only"
    if not lost:
        return f"it is passage {at[seen.final].rank}"
    order = " → ".join(str(place.rank) for stage, place in at.items() if stage not in LEGS)
    return f"rank {order} ({' → '.join(stage for stage in at if stage not in LEGS)}); {kept}"


def _lacking(asked: Asked, seen: Recorder, ids: Collection[str]) -> str:
    """Return the words of the first query that none of the chunks holds."""
    held = {word for chunk in asked.index.store.chunks(sorted(ids)) for word in content_words(searchable(chunk))}
    words = sorted(content_words(seen.found[0].query.text) - held) if seen.found else []
    return f"; it lacks: {', '.join(words)}" if words else ""
