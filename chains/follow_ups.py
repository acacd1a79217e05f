"""Queries with their conversation come in; a follow-up, made to stand alone, goes out before its own words.

The rules know English; a question in another language is left as it is.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda

from chains.history import tell
from chains.queries import Draft, Turn, distinct, normalise
from words import STOP_WORDS, content_words

# Words that point back at something said before; IT in capitals is a department. "that" and "there" count at the end of
# a clause, "that" also after a word that asks: elsewhere a noun follows, or "that" begins a relative clause.
POINTING = re.compile(
    r"\b(?-i:[Ii]t|[Ii]ts)\b"
    r"|\b(?:they|them|their|theirs|he|him|his|she|her|hers|these|those|the (?:latter|former|same))\b"
    r"|\b(?:this|that)(?=\s*(?:[?.,!]|$))"
    r"|(?:(?<=\bdoes )|(?<=\bdid )|(?<=\bwhy )|(?<=\bhow )|^)(?:this|that)(?= (?:is|was|are|were|mean|work|happen)\b)"
    r"|\bthis(?= (?!year\b|month\b|week\b|day\b|time\b|is\b|was\b|has\b)[a-z]+\b)"
    r"|\b(?:which|another|other|first|second|last|the) ones?\b(?!-)(?! (?:that|which|who)\b)"
    r"|\bthere(?=\s*(?:[?.!]|$))",
    re.IGNORECASE,
)
# "it" and "there" that stand for nothing: is it possible to, how long does it take to, it is raining, there are
EXPLETIVE = re.compile(
    r"\b(?:is|was) it (?:possible|necessary|safe|legal|likely|true|good|bad|better|best|worth|easy|hard|normal)\b"
    r"(?= [a-z]+\b)"
    r"|\bit (?:is|was) (?:possible|necessary|likely|true|raining|snowing)\b"
    r"|\b(?:does|did|will|would) it (?:take|cost)\b[^?]*? to\b"
    r"|\bthere (?:is|was|are|were)\b|\b(?:is|was|are|were) there\b",
    re.IGNORECASE,
)
CONTINUING = re.compile(
    r"^(?:and|but|so|also|or)\b(?:\W+\w+){0,7}\W*$|^(?:what|how) about\b"
    r"|^(?:why|how so|how|what else|tell me more|more)\W*$",
    re.IGNORECASE,
)
# Nouns that are always of something: with nothing named after them, of what was spoken of before.
RELATIONAL = (
    "advantages? benefits? drawbacks? disadvantages? pros cons downsides? uses? types? kinds? causes? symptoms?"
    " effects? treatments? history origins? purposes? roles? examples? applications? differences? similarities"
    " implications? impacts? significance importance relationship characteristics features? components? elements?"
    " layers? parts? members? themes? characters? findings? results? objectives? goals? steps? requirements?"
    " risks? factors? options? costs? prices? levels? sources? alternatives? limitations? limits? stages? rules?"
    " methods? variations? projects? definition meaning evidence criticism outlook test author founder inventor"
    " function ways? ones? places? time"
).replace(" ", "|")
ELLIPTIC = re.compile(
    rf"^(?:\w+[.!,] )?(?:what|who|which|describe|tell me about|list|name|explain)\b(?:(?! of | between )[^?.])*"
    rf"\b(?:{RELATIONAL})(?: and \w+)?(?: (?:on|to|with|in|for)\b(?:(?! of | between )[^?.])*)?\W*$"
    r"|^(?:is|are|was|were) there any (?:\w+ ){0,2}\w+\W*$"
    r"|^which (?:is|are|was|were)\b|^what(?: is| are)?(?: the| some)? other\b",
    re.IGNORECASE,
)
SUPERLATIVE = re.compile(
    r"^(?:\w+[.!,] )?(?:what|who|which)(?:['’]s| is| are| was| were) (?:the )?(?:\w{3,}est|best|worst|most \w+)"
    r"(?= (?:ever|in|for|to|selling)\b|\W*$)",
    re.IGNORECASE,
)
VERB = "is|are|was|were|be|been|do|does|did|has|have|had|can|could|will|would|should|may|might|must"
# What a question begins with before it comes to its matter, and what ends the first noun phrase after that
ASKING = re.compile(
    rf"^(?:(?:{VERB}|please|okay|ok|thanks|no|not|yes|what|who|whom|whose|which|when|where|why|how|tell|give|show|describe"
    r"|explain|list|name|compare|heard|want|know|remember|learn|think|like|me|us|you|i|we|m|ve|d|s|it|its|they|there|that"
    r"|the|a|an|some|any|of|to|in|for|so|and|but|by|about|more|many|much|long|old|often|different|other|main|most|common"
    r"|important|good|popular|interesting|happens?|happened|called|mean|get|need|becoming|cause[sd]?|makes?)\b[\s,'’]*)+",
    re.IGNORECASE,
)
OF = re.compile(
    rf"^(?:[\w-]+ ){{0,3}}?(?:{RELATIONAL})(?: and \w+)? (?:of|for|in|to|with|from|between) (?:the |a |an )?(?=\S)",
    re.I,
)
CUT = re.compile(
    rf"[,;:.?!(]|\s+(?:{VERB}|in|on|at|for|with|without|when|while|if|that|which|who|where|from|to|by|than|as|into|about"
    r"|after|before|during|because|versus|known|famous|used|made|started|works?|affects?|helps?|lives?|differ|compare"
    r"|sounds?|seems?|important|bad|good|free|related|considered|created)\b",
    re.IGNORECASE,
)
NAME = re.compile(
    r"(?<![.?!] )(?<!^)\b(?!I\b)[A-Z][\w’'-]*(?:(?: of| the| and| de| al| for)* (?!I\b)[A-Z0-9][\w’'-]*)*"
)
PERSON = re.compile(r"\b[A-Z][a-z]+(?: [A-Z]\.)?(?: [A-Z][a-z’'-]+)+")
SETTING = re.compile(
    r"\b(?:what|who)(?:['’]s| is| are| was| were)\b|\b(?:tell (?:me )?(?:more )?|know |learn more )about\b|^describe\b",
    re.I,
)
VAGUE = re.compile(rf"\b(?:{RELATIONAL}|\w+ly|two|next)$", re.IGNORECASE)
SENTENCE = re.compile(r"[.?!]\s+\w")
LONGEST = 5  # words of a topic
QUERY_TOKENS = 64  # that a model may write
PEOPLE = frozenset({"he", "him", "his", "she", "her", "hers"})
MANY = frozenset({"they", "them", "their", "theirs", "these", "those"})
OWNING = frozenset({"its", "their", "his", "theirs", "hers"})


def is_follow_up(question: str, history: Sequence[Turn]) -> bool:
    """Tell, without a model, whether the question leans on what was said before it."""
    if not history:
        return False
    if _pointing(question) or SUPERLATIVE.search(question):
        return True
    return not NAME.search(question) and bool(CONTINUING.search(question) or ELLIPTIC.search(question))


def _pointing(question: str) -> re.Match[str] | None:
    blanked = EXPLETIVE.sub(lambda match: " " * len(match.group()), question)
    found = POINTING.search(blanked)
    if found and _names_its_own(question[: found.start()], found.group().lower()):
        return None
    return found


def _names_its_own(before: str, word: str) -> bool:
    """Tell whether what stands before a pronoun in its question can be its noun: elephants … their, Darwin … he."""
    named = re.findall(r"[\w-]+", ASKING.sub("", before))
    if word in PEOPLE:
        return any(name[0].isupper() for name in named if name != "I")
    if word in MANY:
        return any(len(name) > 3 and name.endswith("s") for name in named)
    if word in ("this", "that"):
        return len(named) > 5
    return bool(named) and bool(re.search(r"\band\b|,", before))


def focus(question: str) -> str:
    """Return what a stand-alone question is about: its first noun phrase, or a name that this lacks, or ""."""
    for sentence in reversed(re.split(r"(?<=[.?!])\s+", question)):
        rest = OF.sub("", ASKING.sub("", sentence).strip(" ?.!"))
        found = " ".join(CUT.split(rest, maxsplit=1)[0].split()[:LONGEST])
        names = [match.group() for match in NAME.finditer(sentence)]
        if names and not any(name in found for name in names):
            return max(names, key=len)
        if content_words(found) - STOP_WORDS and not VAGUE.search(found):
            return found
    return ""


def topic(history: Sequence[Turn], word: str = "") -> str:
    """Return what `word` stands for: the person named most, or the focus of the newest question that sets a topic."""
    if word in PEOPLE:
        said = [text for turn in reversed(history) for text in (turn["question"], turn["answer"])]
        named = Counter(match.group() for text in said for match in PERSON.finditer(text))
        if named:
            return named.most_common(1)[0][0]
    about = ""
    for at, turn in enumerate(history):
        question = normalise(turn["question"])
        sets = not about or SETTING.search(question) or NAME.search(question)
        if sets and not is_follow_up(question, history[:at]):
            about = focus(question) or about
    return about


def resolve(question: str, history: Sequence[Turn]) -> str:
    """Return the question with the words that point back replaced by the conversation's topic; no model is called."""
    if not is_follow_up(question, history):
        return question
    pointing = _pointing(question)
    word = pointing.group().lower() if pointing else ""
    about = topic(history, word)
    if not about or about.casefold() in question.casefold():
        return question
    if pointing is None or SENTENCE.search(question, pointing.end()):  # a pronoun of an earlier sentence may have gone
        return f"{question.rstrip(' ?.!')} ({about})?"
    if word in OWNING:
        about += "'" if about.endswith("s") else "'s"
    return question[: pointing.start()] + about + question[pointing.end() :]


def build_follow_up(
    *,
    llm: BaseChatModel | None = None,
    prompt: ChatPromptTemplate | None = None,
    prompt_tokens: int | None = None,
    count_tokens: Callable[[list[BaseMessage]], int] | None = None,
    failures: tuple[type[Exception], ...] = (),
    **options: Any,
) -> Runnable[Draft, Draft]:
    """Return a Runnable that puts a follow-up's stand-alone form before its own words; others are left as they are.

    With `llm` and `prompt` (variables history, question) the model writes it, and the rules do where what it writes is
    empty or rambles, it raises one of `failures`, or no history fits. prompt_tokens: the longest prompt by
    `count_tokens`, to which the history is shortened (chains/history.py). options: for its call, such as a timeout.
    """
    writer: Runnable[dict[str, str], str] | None = None
    if llm and prompt:
        asked = prompt | llm.bind(max_tokens=QUERY_TOKENS, stop=["\n"], **options) | StrOutputParser()
        writer = (
            asked.with_fallbacks([RunnableLambda(lambda _: "")], exceptions_to_handle=failures) if failures else asked
        )

    def fits(question: str, said: str) -> bool:
        if not (prompt and prompt_tokens and count_tokens):
            return True
        return count_tokens(prompt.format_messages(history=said, question=question)) <= prompt_tokens

    def follow_up(draft: Draft) -> Draft:
        first, *others = draft["queries"]
        question, history = first.text, draft["history"]
        if not is_follow_up(question, history):
            return draft
        stand_alone, forgotten = resolve(question, history), 0
        if writer and (said := tell(history, partial(fits, question))).text:
            written, forgotten = normalise(writer.invoke({"history": said.text, "question": question})), said.cut
            # a model's empty or rambling line is worth less than the rule's
            stand_alone = written if 3 <= len(written) <= 3 * len(question) + 200 else stand_alone
        alone = first._replace(text=stand_alone, made_by="follow-up", forgotten=forgotten)
        return draft if stand_alone == question else {**draft, "queries": distinct([alone, first, *others])}

    return RunnableLambda(follow_up, name="follow_up")
