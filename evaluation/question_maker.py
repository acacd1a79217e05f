"""A folder of documents comes in; questions about them, each with the passage that proves its answer, go out.

read → facts → candidates → asked of the index → kept where the proof is found, or the thing asked for is not
"""

import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document

from errors import EvaluationError, one_line
from evaluation.ablation import writer
from evaluation.facts import Fact, holds, read_facts
from evaluation.question_sources import Reading, count_cases, read_documents, read_names
from evaluation.question_variants import TYPES, Absent, Candidate, comparisons, follow_ups, paraphrases, plain, swapped
from evaluation.question_writer import written
from evaluation.table_facts import table_facts
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
TRIED = 20  # candidates for each question wanted, at most


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
            return questions_of(stored, index, folder, count=count, on_progress=on_progress, on_note=on_note)


def questions_of(
    settings: Settings, index: Index, folder: Path, *, count: int, on_progress: Progress, on_note: Callable[[str], None]
) -> dict[str, Any]:
    """Return what make_questions does, of an index that holds the folder and nothing else."""
    read = read_documents(index, folder.absolute())
    if read.foreign:
        on_note(f"{read.foreign} documents are not in English, which the rules need, and are left out")
    candidates = _candidates(settings, index, read, count)
    rows: list[dict[str, Any]]
    rows, tried = _keep(settings, index, candidates, read.passages, count, on_progress)
    if not rows:
        raise EvaluationError(folder, "no question could be made of it", "give documents with sentences or tables")
    kept = Counter(row["type"] for row in rows)
    types = {type_: {"made": len(candidates[type_]), "tried": tried[type_], "kept": kept[type_]} for type_ in TYPES}
    return {"rows": rows, "types": types, "made_by": dict(Counter(row["made_by"] for row in rows))}


def check_target(path: Path) -> None:
    """Raise EvaluationError where a file can't be made there: before the work, not after it."""
    if not path.absolute().parent.is_dir():
        raise EvaluationError(path, "its folder does not exist", "make the folder first")


def write_questions(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines; raise EvaluationError where the file can't be written."""
    try:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise EvaluationError(path, one_line(error), "name a file in a folder that exists") from None


def _candidates(settings: Settings, index: Index, read: Reading, count: int) -> dict[str, list[Candidate]]:
    """Return what can be asked by type, in an order drawn with a fixed seed, the documents taking turns."""
    cases = count_cases(index, read)
    told = [fact for proof in read.sentences for fact in read_facts(proof, cases)]
    draw = random.Random(SEED)  # noqa: S311  (nothing secret)
    facts = _in_turns(told, draw)
    cells = _in_turns(list(table_facts(read.rows)), draw)

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(index.embeddings.embed_documents(texts))

    both = _in_turns([*facts, *cells[: 2 * len(facts) + 100]], draw)
    made: dict[str, list[Candidate]] = {type_: [] for type_ in TYPES}
    with writer(settings) as llm:
        if llm:
            for candidate in written(llm, draw.sample(read.sentences, len(read.sentences)), most=count):
                made[candidate.type].append(candidate)
    for candidate in plain([*facts, *cells]):
        made[candidate.type].append(candidate)
    made["paraphrase"] += paraphrases(both[:400], embed)
    made["follow-up"] += follow_ups([*facts, *cells])
    made["multi-passage"] += comparisons([*facts, *cells])
    made["unanswerable"] += swapped(both[:200], read_names(read, cases, both), embed)
    return made


def _in_turns(facts: Sequence[Fact], draw: random.Random) -> list[Fact]:
    by_document: dict[str, list[Fact]] = defaultdict(list)
    for fact in draw.sample(facts, len(facts)):
        by_document[fact.proof.doc_id].append(fact)
    turns = [(turn, name, fact) for name, found in by_document.items() for turn, fact in enumerate(found)]
    return [fact for _, _, fact in sorted(turns, key=lambda item: item[:2])]


def _keep(
    settings: Settings,
    index: Index,
    candidates: Mapping[str, Sequence[Candidate]],
    passages: Sequence[str],
    count: int,
    on_progress: Progress,
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return the rows of what passes its check, and how many of each type were tried; no question stands twice."""
    rewriter = build_rewriter(settings, index)
    search = build_search(settings, index, limit=settings.top_k)
    rows: list[dict[str, Any]] = []
    tried: Counter[str] = Counter()
    seen: Counter[Any] = Counter()
    for type_, wanted in ((type_, max(1, round(share * count))) for type_, share in SHARES.items()):
        kept = 0
        for candidate in candidates[type_][: TRIED * wanted]:
            keys = _keys(candidate)
            if kept == wanted or any(seen[key] >= most for key, most in keys.items()):
                continue
            tried[type_] += 1
            asked = {"question": candidate.question, "history": list(candidate.history)}
            rank = 0 if candidate.absent else _rank(candidate, search.invoke(rewriter.invoke(asked)))
            if rank or (candidate.absent and is_absent(candidate.absent, passages)):
                seen.update(list(keys))
                kept += 1
                rows.append(_row(candidate, rank, len(rows) + 1))
            on_progress(len(rows), count, len(rows))
    return rows, tried


def _keys(candidate: Candidate) -> dict[Any, int]:
    """Return by what questions are told apart, and how many may share it: of unanswerable ones two a name or frame."""
    before = candidate.history[0]["question"] if candidate.history else ""
    same: dict[Any, int] = {(frozenset(words(candidate.question)), before): 1}
    return same | ({candidate.absent.name: 2, candidate.absent.words: 2} if candidate.absent else {})


def _rank(candidate: Candidate, passages: Sequence[Document]) -> int:
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


def is_absent(absent: Absent, passages: Iterable[str]) -> bool:
    """Tell whether no passage holds what must be absent."""
    for text in passages:
        if absent.name.casefold() not in text.casefold() or not holds(text, absent.name):
            continue
        if len(absent.words & content_words(text.replace("_", " "))) > len(absent.words) / 2:
            return False
        sentences = (text[start:end] for start, end in sentence_spans(text))
        if any(holds(each, absent.name) and absent.asked.search(each) for each in sentences):
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
