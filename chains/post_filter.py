"""A drafted answer comes in with the passages it was written from; a checked, cited answer goes out."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from langchain_core.documents import Document

from chains.answers import Statement
from chains.citing import as_written, best_quotes, respelt, span_of, spans, supporting, verbatim
from chains.evidence import sentences_to_read
from chains.facts import is_negated, names, numbers
from chains.groundedness import support as groundedness
from chains.sanitising import CITATION, as_shown
from chains.sufficiency import lacks_evidence
from sentences import sentence_spans
from words import content_words

REFUSAL = "Not in these documents."
REFUSING = re.compile(
    r"\bnot (?:in|mentioned in|found in|stated in) (?:these|the|this) (?:documents?|passages?|text)\b", re.IGNORECASE
)
FINISHED = re.compile(r"""[.!?…。！？؟।:]["'”’»)\]」』]*$""")
ROW = re.compile(r"[^\n:]{1,40}: ")  # a table's row begins with a "Column: value" and has one a line
FIELD = re.compile(r"\n(?=[^\n:]{1,40}: )")
MOST_SENTENCES, MOST_CHARACTERS = 12, 4000  # of an answer; a first sentence is never too long
ALIKE = 0.8  # share of the words of two sentences, of which the second says nothing new
MARK_AFTER = re.compile(r"([.!?。！？]+)\s*((?:\[\d+(?:\s*[,;]\s*\d+)*\]\s*)+)")

Support = Callable[..., float]  # a claim, sentences, given=question → how far they support it


@dataclass(frozen=True)
class Checked:
    """A checked answer, the passages it cites (from 1), and whether it had to be refused or quoted."""

    text: str
    cited: tuple[int, ...] = ()
    abstained: bool = False
    quoted: bool = False
    statements: tuple[Statement, ...] = ()


REFUSED = Checked(REFUSAL, abstained=True)


def check(
    draft: str,
    question: str,
    passages: Sequence[Document],
    *,
    least_evidence: float,
    least_support: float,
    brief: bool = False,
    support: Support = groundedness,
) -> Checked:
    """Return what can be kept of the draft; the passages carry their scored sentences (chains/evidence.py).

    Where the passages are less sufficient than `least_evidence`, the answer is not there. A sentence of the draft stays
    when a sentence of a passage, or two neighbours, hold all its names, numbers and negations, and the passage
    supports it by `least_support`; with `brief`, when one of the sentences that the model saw holds it word for word,
    misspelt ones put right, or all its words. It is cited to those that do, whatever the model wrote. What the question
    says supports nothing, but what a sentence says too. What repeats an earlier sentence and an unfinished last one go.
    Where nothing stays, the best sentence is quoted, unless the draft denied something: what passages don't say is not
    known to be false.
    """
    if lacks_evidence(question, passages, least_evidence=least_evidence):
        return REFUSED
    if refuses(draft):
        return REFUSED
    texts = [passage.page_content for passage in passages]
    likeliest = sentences_to_read(passages) if brief else ()
    read = [span_of(n + 1, passages[n], each) for n, each in likeliest] if brief else [*spans(passages)]
    # which value belongs to which column is more than a bag of words can check, so a table's row is always quoted
    is_row = brief and _is_row(read[0].text)
    statements: list[Statement] = []
    denied = False
    for sentence in [] if is_row else whole_sentences(as_shown(draft, texts)):
        text = CITATION.sub("", sentence).strip()
        if not content_words(text) or any(_repeats(text, statement.text) for statement in statements):
            continue
        marked = cited_numbers(sentence)
        found = verbatim(text, read, marked) if brief else []
        if brief and not found:
            text = respelt(text, read) or text
            found = verbatim(text, read, marked)
        if found:
            text = as_written(text, found[0])
        found = found or supporting(text, question, read, marked=marked, least=float(brief))
        held = 1.0  # what is verbatim
        if found and not brief:
            held = max(support(text, _sentences(span.passage), given=question) for span in found)
        if found and (brief or held >= least_support):
            statements.append(Statement(text, round(held, 4), tuple(span.citation() for span in found)))
        else:
            denied |= is_negated(text)
    if denied and not statements:
        return REFUSED
    return _joined(statements) if statements else _quotes(passages, texts)


def refuses(draft: str) -> bool:
    """Tell whether a draft says that the answer is not there, and no more."""
    return bool(REFUSING.search(draft)) and len(draft) < 2 * len(REFUSAL)


def _joined(statements: Sequence[Statement]) -> Checked:
    """Return the statements as an answer, each followed by the numbers of the passages that it cites."""
    kept: list[Statement] = []
    lines: list[str] = []
    for statement in statements[:MOST_SENTENCES]:
        line = f"{statement.text} " + "".join(f"[{citation.n}]" for citation in statement.citations)
        if kept and sum(map(len, lines)) + len(line) > MOST_CHARACTERS:
            break
        kept.append(statement)
        lines.append(line)
    cited = dict.fromkeys(citation.n for statement in kept for citation in statement.citations)
    return Checked(" ".join(lines), cited=tuple(cited), statements=tuple(kept))


def whole_sentences(text: str) -> list[str]:
    """Return the sentences, a citation within each; the last one only if it is finished or the only one."""
    text = MARK_AFTER.sub(r" \2\1 ", text)
    sentences = [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]
    if len(sentences) > 1 and not FINISHED.search(CITATION.sub("", sentences[-1])):
        sentences.pop()
    return sentences


def cited_numbers(sentence: str) -> frozenset[int]:
    """Return the numbers that a text cites."""
    return frozenset(int(n) for marks in CITATION.findall(sentence) for n in re.findall(r"\d{1,4}", marks))


def _repeats(text: str, earlier: str) -> bool:
    """Tell whether a sentence says nothing that an earlier one does not: no other name or number, hardly a word."""
    one, two = content_words(text), content_words(earlier)
    if is_negated(text) != is_negated(earlier) or numbers(text).keys() - numbers(earlier).keys():
        return False
    return one <= two or (len(one & two) >= ALIKE * len(one | two) and names(text, firsts=True) <= two)


def _quotes(passages: Sequence[Document], texts: Sequence[str]) -> Checked:
    """Return the sentences that answer best, one or two, as the answer."""
    quoted = [(as_shown(_on_one_line(text), texts), span) for text, span in best_quotes(passages)]
    statements = [Statement(" ".join(text.split()), 1.0, (span.citation(),)) for text, span in quoted if text]
    return replace(_joined(statements), quoted=True) if statements else REFUSED  # an image alone says nothing


def _on_one_line(text: str) -> str:
    return FIELD.sub("; ", text) if _is_row(text) else text


def _is_row(text: str) -> bool:
    return bool(ROW.match(text) and FIELD.search(text))


def _sentences(passage: Document) -> list[str]:
    return [sentence.text for sentence in passage.metadata["sentences"]]
