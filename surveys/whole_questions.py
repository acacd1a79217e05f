"""A question about whole documents comes in; what is asked of each of them, and what to do with it, goes out."""

import re
from dataclasses import dataclass

# what people call the documents that they have, and how they ask for all of them, in four languages
NOUN = (
    r"(?:documents?|files?|papers?|articles?|reports?|contracts?|agreements?|letters?|pdfs?|texts?|sources?|manuals?|"
    r"e?-?mails?|notes?|invoices?|polic(?:y|ies)|stud(?:y|ies)|(?:dokument|datei|vertr[aä]g|"
    r"bericht|artikel|brief)\w*|documentos?|archivos?|informes?|contratos?|artículos?|textos?|cartas?)\b"
)
CHINESE = "(?:文档|文件|文章|文檔)"
THEM = rf"(?: (?:of|in|among|the|these|my|our|all|von|den|diesen|de|los|estos))* {NOUN}"
IN = "(?:(?:in|from|for|of|en|aus) )?"
KINDS = {
    "count": rf"{IN}(?:how many|wie ?viele[nr]?|cu[aá]nt[oa]s){THEM}|有?多少[个份篇]?{CHINESE}",
    "each": rf"{IN}(?:each|every|per|jede[mnrs]?|cada){THEM}|每[个份篇]{CHINESE}",
    "list": rf"{IN}(?:which|what|welche[mnrs]?|qué|cuáles){THEM}|哪[些个份篇]{CHINESE}"
    rf"|(?:list|name|find|show|enumerate)(?: me)? (?:all|every)(?:{THEM})?"
    rf"|(?:liste|nenne|finde) alle(?: {NOUN})?|(?:enumera|lista) tod[oa]s(?: l[oa]s)?(?: {NOUN})?",
}
BEGINS = {kind: re.compile(rf"\W*(?:{begin})", re.IGNORECASE) for kind, begin in KINDS.items()}
AT_END = re.compile(rf"[,;]?(?: (?:in|for|from|of))? (?:each|every){THEM}\W*$", re.IGNORECASE)
LINK = r"\W*(?:(?:that|which|who|are there|is|are|do|does|die|der|das|que|se) )*"
MENTION = re.compile(
    rf"{LINK}(?:(?:mention|name|cite|refer to|contain the (?:word|term|name))(?:s|es|d|ed)?\b"
    r"|(?:erwähn|nenn|mencion|nombr)\w*|提到|提及)\W*",
    re.IGNORECASE,
)
SAY = re.compile(
    rf"{LINK}(?:(?:say|state|tell|explain|discuss|talk|deal|cover|describe|treat|concern|address|contain|have|has|include"
    r"|hold|give)(?:s|es|d|ed)?\b|(?:behandel|beschreib|enthalt|sag|habla|trata|dice|describe)\w*|讨论|谈到|介绍)?"
    r"(?: ?(?:something )?(?:about|on|with|of|von|über|de|sobre)\b)?\W*",
    re.IGNORECASE,
)
PASSIVE = re.compile(
    r"(?:is|are|was|were) (?P<topic>.+) (?:(?P<named>mentioned|named|cited)|discussed|described|covered)\W*",
    re.IGNORECASE,
)
COMPARE = re.compile(
    r"(?:\b(?:compare|contrast|vergleiche|compara)\b|\b(?:differences?|unterschiede?|diferencias?) "
    r"(?:between|zwischen|entre)\b|^how (?:do|does|did|is|are) (?=.+ differ)) *(?:the )?"
    r"(?:(?P<topic>(?:(?!and|or|differ)[\w-]+ ){1,5}?)(?:of|in|for) )?(?P<items>.+?)"
    r"(?: (?:on|by|regarding|concerning|in terms of|with respect to|bezüglich|differ(?: in)?)\b(?P<aspect>.*))?$",
    re.IGNORECASE,
)
AND = re.compile(r" *, *(?:(?:and|or|und|y) )?| (?:and|or|with|to|vs\.?|versus|und|mit|y|con) ", re.IGNORECASE)
EDGES = " ,:;?!.'\"“”‘’„«»？。："


@dataclass(frozen=True)
class Task:
    """What is asked of every document.

    kind: count, list, each (a line for every document, whether it tells or not) or compare. topics: what to look for;
    of a comparison one for each of the items. literal: the topic's own words have to be there. plain: nothing in the
    question says that it is about all documents.
    """

    kind: str
    topics: tuple[str, ...]
    items: tuple[str, ...] = ()
    literal: bool = False
    plain: bool = False


def read_task(question: str) -> Task:
    """Return what a question asks of all documents; one that does not say so asks for a list."""
    asked, question = question, question.strip(EDGES)
    compared = COMPARE.search(question)
    if compared and len(items := tuple(filter(None, AND.split(compared["items"])))) > 1:
        about = f"{compared['topic'] or ''} {compared['aspect'] or ''}"
        return Task("compare", tuple(" ".join(f"{item} {about}".split()) for item in items), items)
    for kind, begins in BEGINS.items():
        if match := begins.match(question):
            return _asked(kind, question, question[match.end() :].strip())
    if match := AT_END.search(question):
        return Task("each", (question[: match.start()],))
    return Task("list", (asked,), plain=True)


def _asked(kind: str, question: str, rest: str) -> Task:
    """Return the task whose topic is the rest of a question, less the verb before or after it."""
    if passive := PASSIVE.fullmatch(rest):
        return Task(kind, (passive["topic"].strip(EDGES),), literal=bool(passive["named"]))
    verb = MENTION.match(rest)
    said = verb or SAY.match(rest)
    topic = rest[said.end() if said else 0 :].strip(EDGES)
    return Task(kind, (topic or question,), literal=bool(verb and topic))


def is_about_all(question: str) -> bool:
    """Tell whether a question says that it is about every document; a comparison can do with a few passages."""
    task = read_task(question)
    return not task.plain and task.kind != "compare"
