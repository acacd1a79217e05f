"""A question with its conversation comes in; the queries to search with go out, the stand-alone one first."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda


class Turn(TypedDict):
    """One earlier exchange of a conversation."""

    question: str
    answer: str


class Asked(TypedDict):
    """What a rewriter reads."""

    question: str
    history: Sequence[Turn]


# Words that point back at something said before; IT in capitals is a department. "that" and "this" count at the end
# of a clause, or after a word that asks: elsewhere a noun follows, or "that" begins a relative clause.
POINTING = re.compile(
    r"\b(?-i:[Ii]t|[Ii]ts)\b"
    r"|\b(?:they|them|their|theirs|he|him|his|she|her|hers|these|those|the (?:latter|former|same))\b"
    r"|\b(?:this|that)(?=\s*(?:[?.,!]|$))"
    r"|(?:(?<=\bdoes )|(?<=\bdid )|(?<=\bwhy )|(?<=\bhow )|^)(?:this|that)(?= (?:is|was|are|were|mean|work|happen)\b)"
    r"|\b(?:which|another|other|first|second|last|the) ones?\b(?!-)(?! (?:that|which|who)\b)",
    re.IGNORECASE,
)
# "it" and "there" that stand for nothing: is it possible to, how long does it take to, it is raining, there are
EXPLETIVE = re.compile(
    r"\b(?:is|was) it (?:possible|necessary|safe|legal|likely|true|good|bad|better|best|worth|easy|hard|normal)\b"
    r"|\bit (?:is|was) (?:possible|necessary|likely|true|raining|snowing)\b"
    r"|\b(?:does|did|will|would) it (?:take|cost)\b[^?]*? to\b"
    r"|\bthere (?:is|was|are|were)\b|\b(?:is|was|are|were) there\b",
    re.IGNORECASE,
)
VERB_AND_NAME = re.compile(r"^[a-z]+(?:s|ed) ((?:[A-Z][\w-]*)(?: [A-Z][\w-]*)*)$")  # leads Project Kestrel
INVISIBLE = "\u200b\u2060\ufeff"
PEOPLE = frozenset({"he", "him", "his", "she", "her", "hers"})
MANY = frozenset({"they", "them", "their", "theirs", "these", "those"})
CONTINUING = re.compile(
    r"^(and|but|so|also|or|what about|how about)\b|^(why|how so|how|what else|tell me more|more)\W*$", re.IGNORECASE
)
ASKING = re.compile(
    r"^(?:(?:please|tell|give|show|me|us|what|who|whom|whose|which|when|where|why|how|many|much|long|is|are|was|were|do|does|did"
    r"|can|could|should|would|will|has|have|had|about|describe|explain|list|name|the|a|an|some|of|to|in|for|different|types?"
    r"|kinds?|main|most|important|be|happens?|happened|called|mean|by|it|its|they|there)\b[\s,]*)+",
    re.IGNORECASE,
)


def normalise(text: str) -> str:
    """Return `text` in Unicode's composed form, with single spaces and no control or invisible characters."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())  # argv may hold half a surrogate pair
    kept = "".join(c for c in text if c.isspace() or (unicodedata.category(c) != "Cc" and c not in INVISIBLE))
    return " ".join(kept.split())


def is_follow_up(question: str, history: Sequence[Turn]) -> bool:
    """Tell, without a model, whether the question leans on what was said before it."""
    if not history:
        return False
    question = EXPLETIVE.sub(" ", question)
    pointing = POINTING.search(question)
    if pointing and _names_its_own(question[: pointing.start()], pointing.group().lower()):
        pointing = None
    return bool(pointing or CONTINUING.search(question))


def _names_its_own(before: str, word: str) -> bool:
    """Tell whether what stands before a pronoun in its question can be its noun: elephants … their, Darwin … he."""
    named = re.findall(r"[\w-]+", ASKING.sub("", before))
    if word in PEOPLE:
        return any(name[0].isupper() for name in named)
    if word in MANY:
        return any(len(name) > 3 and name.endswith("s") for name in named)
    return bool(named) and bool(re.search(r"\band\b|,", before))


def topic(history: Sequence[Turn]) -> str:
    """Return what the conversation is about: the newest question that named something, without its asking words."""
    questions = [normalise(turn["question"]) for turn in history]
    named = [(question, VERB_AND_NAME.sub(r"\1", ASKING.sub("", question).strip(" ?.!"))) for question in questions]
    found = [name for question, name in named if name and not is_follow_up(question, history)]
    return found[-1] if found else named[0][1] if named else ""


def resolve(asked: Asked) -> str:
    """Return the question with the words that point back replaced by the conversation's topic; no model is called."""
    question, about = asked["question"], topic(asked["history"])
    if not about or not is_follow_up(question, asked["history"]):
        return question
    pointing = POINTING.search(question)
    if pointing is None or about.casefold() in question.casefold():
        return f"{question.rstrip(' ?.!')} ({about})?"
    word = pointing.group().lower()
    named = f"{about}'s" if word in {"its", "their", "his", "theirs", "hers"} else about
    return question[: pointing.start()] + named + question[pointing.end() :]


def build_query_rewriter(
    mode: str = "rules", *, llm: BaseChatModel | None = None, prompt: ChatPromptTemplate | None = None
) -> Runnable[Any, list[str]]:
    """Return a Runnable from a question and its history to one or more queries, never blank, the stand-alone one first.

    mode: `off` only normalises; `rules` resolves a follow-up by its words; `model` lets `llm` write it with `prompt`
    (variables history, question). A follow-up's own words stay a query beside the rewritten one; a question that
    stands alone is left as it is.
    """
    writer: Runnable[dict[str, str], str] | None = None
    if mode == "model" and prompt and llm:
        writer = prompt | llm.bind(max_tokens=64, stop=["\n"]) | StrOutputParser()

    def rewrite(asked: Asked) -> list[str]:
        history = asked["history"]
        asked = {"question": normalise(asked["question"]), "history": history}
        question = asked["question"]
        if mode == "off" or not is_follow_up(question, asked["history"]):
            return [question]
        stand_alone = resolve(asked)
        if writer:
            said = "\n".join(f"Question: {turn['question']}\nAnswer: {turn['answer']}" for turn in history)
            written = normalise(writer.invoke({"history": said, "question": question}))
            # a model's empty or rambling line is worth less than the rule's
            stand_alone = written if 3 <= len(written) <= 3 * len(question) + 200 else stand_alone
        return list(dict.fromkeys([stand_alone, question]))

    return RunnableLambda(rewrite, name="rewrite")
