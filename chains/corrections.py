"""A checked answer comes in; by the rules of a user's file it goes out corrected, or refused."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chains.post_filter import REFUSAL, Checked
from errors import SettingsError, one_line

if TYPE_CHECKING:
    import regex

ARROW = re.compile(r"\s+->(?:\s+|$)")
REFUSE = "!refuse"
SECONDS = 1.0  # that a rule may take for an answer: some patterns take years


@dataclass(frozen=True)
class Rule:
    """What to look for in an answer, and what to put in its place or, with `refuses`, to say instead of the answer."""

    place: str
    pattern: "regex.Pattern[str]"
    text: str
    refuses: bool = False


def load_corrections(path: Path) -> tuple[Rule, ...]:
    r"""Return the rules of a UTF-8 file: one a line, blank ones and those that begin with # left out.

    `PATTERN -> TEXT` replaces (\1 is the first group), `PATTERN -> !refuse [TEXT]` refuses; a pattern is a Python
    regular expression. Raise SettingsError, naming the line, when the file can't be read or a line is no rule.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            path, f"the corrections can't be read ({one_line(error)})", "check RAG_CORRECTIONS"
        ) from None
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip() and line.lstrip()[0] != "#")
    return tuple(_read(line, f"{path}, line {number}") for number, line in numbered)


def _read(line: str, place: str) -> Rule:
    import regex

    found, *texts = ARROW.split(line.strip(), maxsplit=1)
    if not texts:
        raise SettingsError(place, "it is no rule", "write: pattern -> replacement, or: pattern -> !refuse")
    text = texts[0]
    try:
        pattern = regex.compile(found)
        # the replacement is only read where something matches, as the empty text does here
        regex.compile(f"(?:{found})|").sub(text, "")
    except (regex.error, IndexError) as error:
        raise SettingsError(place, f"it can't be used ({one_line(error)})", "see Python's re for the syntax") from None
    if pattern.search(""):
        raise SettingsError(place, "its pattern finds nothing in everything", "let it need a character at least")
    if text.split(maxsplit=1)[:1] == [REFUSE]:
        return Rule(place, pattern, text[len(REFUSE) :].strip() or REFUSAL, refuses=True)
    return Rule(place, pattern, text)


def correct(checked: Checked, rules: Iterable[Rule]) -> Checked:
    """Return the answer after all the rules, in their order; its citations stay verbatim.

    Raise SettingsError when a rule takes longer than SECONDS: what it would have refused must not pass.
    """
    for rule in rules:
        try:
            if rule.refuses:
                if rule.pattern.search(checked.text, timeout=SECONDS):
                    return Checked(rule.text, abstained=True)
            else:
                put = partial(rule.pattern.sub, rule.text, timeout=SECONDS)
                statements = tuple(replace(each, text=put(each.text)) for each in checked.statements)
                checked = replace(checked, text=put(checked.text), statements=statements)
        except TimeoutError:
            reason = f"its pattern takes longer than {SECONDS:.0f} s for an answer"
            raise SettingsError(rule.place, reason, "write it without nested repetition such as (a+)+") from None
    return checked
