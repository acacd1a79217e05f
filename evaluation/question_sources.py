"""An open index comes in; what of its documents questions can be made of goes out: sentences, rows, names."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.english import MONTH, NAME, Cases
from evaluation.facts import Fact, Proof
from evaluation.table_facts import Row, read_rows
from loaders.embeddings import load_token_counter
from searching import Index
from sentences import sentence_spans

MOST_NAMES = 500
# a name inside a sentence that is no part of a longer one: the Normans were, in Venice and, but not a British ship
NAMED = re.compile(
    rf"(?<=[a-z,] )(?:the )?(?!{MONTH})(?:{NAME})(?=[,.;:)]| (?:and|or|in|of|on|at|to|for|with|by|from|was|is|were|are"
    r"|had|has|as|that|who|which)\b)"
)


@dataclass(frozen=True)
class Reading:
    """Sentences and rows of the English documents with their places, all passages, and how many others there are."""

    sentences: list[Proof]
    rows: list[Row]
    passages: list[str]
    foreign: int


def read_documents(index: Index, folder: Path) -> Reading:
    """Return what stands in the documents, each named by its path below `folder`, nothing twice."""
    catalog = index.store.catalog
    english = {source for source, state in catalog.sources().items() if state.language in ("", "en")}
    sentences: list[Proof] = []
    rows: list[Row] = []
    passages: list[str] = []
    foreign = set()
    for chunk in index.store.chunks(catalog.chunk_ids()):
        source, at = chunk.metadata["source"], chunk.metadata
        name = Path(source).relative_to(folder).as_posix() if Path(source).is_relative_to(folder) else source
        passages.append(chunk.page_content)
        if source not in english:
            foreign.add(source)
            continue
        for start, end in sentence_spans(chunk.page_content):
            text = chunk.page_content[start:end]
            sentences.append(Proof(name, at["page"], at["start"] + start, at["start"] + end, text))
        rows += read_rows(chunk.page_content, Proof(name, at["page"], at["start"], at["start"], ""))
    whole = set(_whole([row.proof for row in rows]))
    return Reading(_whole(sentences), [row for row in rows if row.proof in whole], passages, len(foreign))


def _whole(proofs: Sequence[Proof]) -> list[Proof]:
    """Return the stretches in order without those that lie inside another: overlapping chunks begin with a part."""
    kept: list[Proof] = []
    for proof in sorted(set(proofs), key=lambda p: (p.doc_id, p.page or 0, p.start, -p.end)):
        last = kept[-1] if kept else None
        if not last or (last.doc_id, last.page) != (proof.doc_id, proof.page) or proof.end > last.end:
            kept.append(proof)
    return kept


def count_cases(index: Index, read: Reading) -> Cases:
    """Return how the sentences write their words; rows of tables begin each cell with a capital, and are left out."""
    general = load_token_counter(index.embedder)[0].whole_words
    return Cases((proof.passage for proof in read.sentences if proof.passage[-1] in ".!?"), general)


def read_names(read: Reading, cases: Cases, facts: Sequence[Fact]) -> list[str]:
    """Return names that the documents mention: those that rows and facts are about, and those seen twice."""
    found = Counter(
        match.group()
        for proof in read.sentences
        for match in NAMED.finditer(" ".join(proof.passage.split()))
        if all(cases.is_name(word) for word in re.findall(r"[A-Z][\w'’-]*", match.group()))
    )
    bare = {
        name: f"the {name}" if found[f"the {name}"] > found[name] else name for name in found
    }  # as it mostly stands
    seen = [bare[name].rstrip(".,'’") for name, times in found.items() if times > 1 and len(name) > 3]
    subjects = [fact.subject for fact in facts if _is_named(fact.subject.split(), cases)]
    return list(dict.fromkeys([*subjects, *seen]))[:MOST_NAMES]


def _is_named(subject: Sequence[str], cases: Cases) -> bool:
    """Tell whether a subject is a name or ends in one: Falcon-7B, the kettle Orion."""
    return bool(subject) and (cases.is_name(subject[0]) or (len(subject) < 5 and cases.is_name(subject[-1])))
