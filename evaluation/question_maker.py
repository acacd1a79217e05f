"""A folder of documents comes in; questions about them, each with the passage that proves its answer, go out.

read → facts → candidates → asked of the index → kept where the proof is found, or the thing asked for is not
"""

import json
import random
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document

from errors import EvaluationError, one_line
from evaluation.ablation import writer
from evaluation.facts import NAME, Cases, Fact, Proof, holds, read_facts
from evaluation.question_variants import TYPES, Candidate, comparisons, follow_ups, paraphrases, plain, swapped
from evaluation.question_writer import written
from evaluation.table_facts import Row, read_rows, table_facts
from ingestion import ingest
from loaders.sync import Progress
from pipeline import open_index
from searching import Index, build_rewriter, build_search
from sentences import sentence_spans
from settings import Settings
from words import content_words, words

SEED = 0
# of a set: a user asks for facts most, and a system that never refuses must show it
SHARES = dict(zip(TYPES, (0.3, 0.15, 0.15, 0.1, 0.1, 0.2), strict=True))
TRIED = 6  # candidates asked for each question wanted, at most


@dataclass(frozen=True)
class Reading:
    """What was read of the documents: sentences and rows with their places, the passages, those left out."""

    sentences: list[Proof]
    rows: list[Row]
    passages: list[tuple[str, str]]  # document, text
    foreign: int


def make_questions(
    settings: Settings,
    folder: Path,
    *,
    count: int = 50,
    on_progress: Progress = lambda done, total, chunks: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Return {"rows", "types", "made_by"}: about `count` questions on the documents of a folder, of six types.

    The folder is ingested into a temporary store. A row is {id, question, answers, answerable, type, made_by}, and of
    an answerable question {doc_id, page, start, end, passage}: a verbatim stretch at its characters in the document's
    text, `proofs` having all of them, and `rank`, the place of the last of them in the search. A follow-up has its
    history. Rules write the questions; a model of at least a billion weights, where one is set, writes those of single
    facts, paraphrases and follow-ups. Kept is what the search of the settings finds the proof of: the questions suit
    comparing settings, and flatter the system as such. Raise EvaluationError where nothing can be asked.
    """
    if not folder.is_dir():
        raise EvaluationError(folder, "it is not a folder", "give the folder of the documents")
    with tempfile.TemporaryDirectory(prefix="groundwork-") as directory:
        stored = settings.model_copy(update={"store": Path(directory) / "store"})
        ingest(stored, [folder], on_progress=on_progress)
        with open_index(stored) as index:
            read = _read(index, folder.absolute())
            if read.foreign:
                on_note(f"{read.foreign} documents are not in English, which the rules need, and are left out")
            candidates = _candidates(settings, index, read)
            rows, tried = _keep(stored, index, candidates, read, count, on_progress)
    if not rows:
        raise EvaluationError(folder, "no question could be made of it", "give documents with sentences or tables")
    kept = Counter(row["type"] for row in rows)
    types = {type_: {"made": len(candidates[type_]), "tried": tried[type_], "kept": kept[type_]} for type_ in TYPES}
    return {"rows": rows, "types": types, "made_by": dict(Counter(row["made_by"] for row in rows))}


def write_questions(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines; raise EvaluationError where the file can't be written."""
    try:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise EvaluationError(path, one_line(error), "name a file in a folder that exists") from None


def _read(index: Index, folder: Path) -> Reading:
    catalog = index.store.catalog
    english = {source for source, state in catalog.sources().items() if state.language in ("", "en")}
    sentences, rows, passages = [], [], []
    foreign = set()
    for chunk in index.store.chunks(catalog.chunk_ids()):
        source, at = chunk.metadata["source"], chunk.metadata
        name = Path(source).relative_to(folder).as_posix() if Path(source).is_relative_to(folder) else source
        passages.append((name, chunk.page_content))
        if source not in english:
            foreign.add(source)
            continue
        for start, end in sentence_spans(chunk.page_content):
            text = chunk.page_content[start:end]
            sentences.append(Proof(name, at["page"], at["start"] + start, at["start"] + end, text))
        rows += read_rows(chunk.page_content, Proof(name, at["page"], at["start"], at["start"], ""))
    whole = _whole([row.proof for row in rows])
    return Reading(_whole(sentences), [row for row in rows if row.proof in whole], passages, len(foreign))


def _whole(proofs: Sequence[Proof]) -> list[Proof]:
    """Return the stretches in order without those that lie inside another: overlapping chunks begin with a part."""
    kept: list[Proof] = []
    for proof in sorted(set(proofs), key=lambda p: (p.doc_id, p.page or 0, p.start, -p.end)):
        last = kept[-1] if kept else None
        if not last or (last.doc_id, last.page) != (proof.doc_id, proof.page) or proof.end > last.end:
            kept.append(proof)
    return kept


def _candidates(settings: Settings, index: Index, read: Reading) -> dict[str, list[Candidate]]:
    """Return what can be asked by type, in an order drawn with a fixed seed, the documents taking turns."""
    cases = Cases([" ".join(proof.passage.split()) for proof in read.sentences])
    told = [fact for proof in read.sentences for fact in read_facts(proof.passage, proof, cases)]
    draw = random.Random(SEED)  # noqa: S311  (nothing secret)
    facts = _in_turns(told, draw)
    cells = _in_turns(list(table_facts(read.rows)), draw)

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(index.embeddings.embed_documents(texts))

    both = _in_turns([*facts, *cells[: 2 * len(facts) + 100]], draw)
    made: dict[str, list[Candidate]] = {type_: [] for type_ in TYPES}
    with writer(settings) as llm:
        if llm:
            for candidate in written(llm, draw.sample(read.sentences, len(read.sentences)), most=100):
                made[candidate.type].append(candidate)
    for candidate in plain([*facts, *cells]):
        made[candidate.type].append(candidate)
    made["paraphrase"] += paraphrases(both[:400], embed)
    made["follow-up"] += follow_ups([*facts, *cells])
    made["multi-passage"] += comparisons([*facts, *cells])
    made["unanswerable"] += swapped(both[:200], _names(read, cases, both), embed)
    return made


def _in_turns(facts: Sequence[Fact], draw: random.Random) -> list[Fact]:
    by_document: dict[str, list[Fact]] = defaultdict(list)
    for fact in draw.sample(facts, len(facts)):
        by_document[fact.proof.doc_id].append(fact)
    turns = [(turn, name, fact) for name, found in by_document.items() for turn, fact in enumerate(found)]
    return [fact for _, _, fact in sorted(turns, key=lambda item: item[:2])]


def _names(read: Reading, cases: Cases, facts: Sequence[Fact]) -> list[str]:
    """Return names that the documents mention: what rows and facts are about, and capitalised words seen twice."""
    found = Counter(
        match.group()
        for proof in read.sentences
        for match in re.finditer(rf"(?<=[a-z,] )(?:{NAME})", " ".join(proof.passage.split()))
        if all(cases.is_name(word) for word in re.findall(r"[A-Z][\w'’-]*", match.group()))
    )
    seen = [name.rstrip(".,'’") for name, times in found.items() if times > 1 and len(name) > 3]
    subjects = [fact.subject for fact in facts if re.match(r"[A-Z0-9]", fact.subject)]
    return list(dict.fromkeys([*subjects, *seen]))[:2000]


def _keep(
    settings: Settings,
    index: Index,
    candidates: Mapping[str, Sequence[Candidate]],
    read: Reading,
    count: int,
    on_progress: Progress,
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return the rows of what passes its check, and how many of each type were tried; no question stands twice."""
    rewriter = build_rewriter(settings, index)
    search = build_search(settings, index, limit=settings.top_k)
    rows: list[dict[str, Any]] = []
    tried: Counter[str] = Counter()
    seen: set[frozenset[str]] = set()
    for type_, wanted in ((type_, max(1, round(share * count))) for type_, share in SHARES.items()):
        kept = 0
        for candidate in candidates[type_][: TRIED * wanted]:
            key = frozenset(words(candidate.question)) | {candidate.history[0]["question"] if candidate.history else ""}
            if kept == wanted or key in seen:
                continue
            tried[type_] += 1
            asked = {"question": candidate.question, "history": list(candidate.history)}
            rank = _rank(candidate, search.invoke(rewriter.invoke(asked)), index) if candidate.answerable else 0
            if rank or (not candidate.answerable and is_absent(candidate, read.passages)):
                seen.add(key)
                kept += 1
                rows.append(_row(candidate, rank, len(rows) + 1))
            on_progress(len(rows), count, len(rows))
    return rows, tried


def _rank(candidate: Candidate, passages: Sequence[Document], index: Index) -> int:
    """Return the place, from 1, of the last proof among the passages; 0 where one is not found or has no answer."""
    places = []
    for proof in candidate.proofs:
        lines = " ".join(proof.passage.split())
        at = [n for n, p in enumerate(passages, 1) if lines in " ".join(p.page_content.split())]
        if not at:
            return 0
        places.append(at[0])
    proved = " ".join(proof.passage for proof in candidate.proofs)
    return max(places) if any(holds(proved, answer) for answer in candidate.answers) else 0


def is_absent(candidate: Candidate, passages: Iterable[tuple[str, str]]) -> bool:
    """Tell whether no passage holds the name of an unanswerable question with more than half of the words asked."""
    assert candidate.absent  # noqa: S101  (asked of unanswerable ones only)
    name, frame = candidate.absent
    for _, text in passages:
        if holds(text, name) and len(frame & content_words(text)) > len(frame) / 2:
            return False
    return True


def _row(candidate: Candidate, rank: int, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {"id": f"m{number:03d}", "question": candidate.question, "answers": list(candidate.answers)}
    row |= {"answerable": candidate.answerable, "type": candidate.type, "made_by": candidate.made_by}
    if candidate.proofs:
        names = list(dict.fromkeys(proof.doc_id for proof in candidate.proofs))
        row |= asdict(candidate.proofs[0]) | {"rank": rank}
        if len(candidate.proofs) > 1:
            row |= {"doc_ids": names, "proofs": [asdict(proof) for proof in candidate.proofs]}
    else:
        row |= {"doc_id": None}
    return row | ({"history": list(candidate.history)} if candidate.history else {})
