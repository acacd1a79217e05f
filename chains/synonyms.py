"""Queries come in; beside one that has a word of a user's list of synonyms the same with its synonyms goes out."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from langchain_core.runnables import Runnable, RunnableLambda

from chains.queries import Draft, Query, distinct, normalise
from errors import SettingsError, one_line

Group = tuple[str, ...]  # words or phrases that mean the same
WEIGHT = 0.5  # of all the queries with synonyms together, beside the question
MOST = 6  # queries that are added


def load_synonyms(path: Path) -> list[Group]:
    """Return the groups of a UTF-8 file: one a line, commas between the words, lines that begin with # left out.

    Raise SettingsError, naming the line, when the file can't be read or a line has no two words.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(path, f"the synonyms can't be read ({one_line(error)})", "check RAG_SYNONYMS") from None
    groups = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            group = tuple(dict.fromkeys(filter(None, (normalise(word) for word in line.split(",")))))
            if len(group) < 2:
                raise SettingsError(f"{path}, line {number}", "it names no two synonyms", "write: car, automobile")
            groups.append(group)
    return groups


def build_synonyms(groups: Iterable[Group]) -> Runnable[Draft, Draft]:
    """Return a Runnable that adds the first query with each of its words' synonyms in their place; case is ignored."""
    known = [(word, [other for other in group if other != word]) for group in groups for word in group]
    patterns = [(re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE), others) for word, others in known]

    def synonyms(draft: Draft) -> Draft:
        first = draft["queries"][0]
        made = _replaced(first.text, patterns)[:MOST]
        share = first.weight * WEIGHT / max(1, len(made))
        added = [Query(text, share, made_by="synonyms") for text in made]
        return {**draft, "queries": distinct([*draft["queries"], *added])}

    return RunnableLambda(synonyms, name="synonyms")


def _replaced(text: str, patterns: Sequence[tuple[re.Pattern[str], list[str]]]) -> list[str]:
    found = []
    for pattern, others in patterns:
        if pattern.search(text):
            found += [pattern.sub(lambda _, other=other: other, text) for other in others]  # type: ignore[misc]
    return list(dict.fromkeys(found))
