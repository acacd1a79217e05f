"""A prompt's name comes in; its text file, checked, goes out as a LangChain prompt template."""

import re
from pathlib import Path

from langchain_core.prompts import ChatPromptTemplate

from errors import SettingsError

FOLDER = Path(__file__).parent
VARIABLES = {
    "answer": {"context", "question"},
    "brief": {"context", "question"},
    "condense": {"history", "question"},
    "hyde": {"question"},
    "make_questions": {"passage"},
    "multi_query": {"question"},
    "refine": {"context", "summary", "words"},
    "summary": {"context", "words"},
}
PART = re.compile(r"^--- (system|human|ai) ---$", re.MULTILINE)


def load_prompt(name: str) -> ChatPromptTemplate:
    """Return prompts/NAME.txt; raise SettingsError when its placeholders are not those that the chain fills in.

    The file holds parts headed `--- system ---`, `--- human ---` or `--- ai ---`. A literal brace is written
    twice. Values are put in as they are: braces in a document or question stay braces.
    """
    path = FOLDER / f"{name}.txt"
    try:
        _, *parts = PART.split(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(path, f"the prompt can't be read ({error})", "restore the file, as UTF-8 text") from None
    try:
        prompt = ChatPromptTemplate.from_messages(
            [(r, t.strip()) for r, t in zip(parts[::2], parts[1::2], strict=True)]
        )
    except ValueError as error:
        raise SettingsError(
            path, f"a brace is not closed or not named ({error})", "write {{ and }} for braces"
        ) from None
    found, wanted = set(prompt.input_variables), VARIABLES[name]
    if found != wanted:
        difference = ", ".join(sorted(f"{{{v}}}" for v in found ^ wanted))
        raise SettingsError(path, f"placeholders missing or unknown: {difference}", f"use exactly {sorted(wanted)}")
    return prompt
