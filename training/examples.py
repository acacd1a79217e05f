"""Questions with reference answers come in; the prompts that `ask` makes of them, with what to answer, go out."""

import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import Field

from chains.evidence import sentences_to_read
from chains.post_filter import REFUSAL
from chat_models import SMALL_MODEL, ChatModel, locate
from inference.gguf_header import read_header
from ingestion import ingest
from pipeline import build_chain, open_index
from searching import Index, build_search
from settings import Settings
from training.jsonl import parse_rows, write_rows
from training.mining import DEPTH, Question, is_from

Progress = Callable[[int, int, int], None]  # questions done, in all, examples made
Keep = Callable[[Document], bool]
Ask = Callable[[str, Keep | None], tuple[tuple[dict[str, str], ...], list[tuple[int, str]]]]
REMEDY = 'write one {"messages": [{"role", "content"}, …], "completion": "…"} a line, as `finetune examples` does'


@dataclass(frozen=True)
class Example:
    """What a chat model is asked and should answer: messages of role and content; kind: answer, refusal or general."""

    question: str
    kind: str
    messages: tuple[dict[str, str], ...]
    completion: str


class Listener(BaseChatModel):
    """A chat model that notes what it is asked, and says nothing."""

    heard: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "listener"

    def _generate(self, messages: list[BaseMessage], *rest: Any, **options: Any) -> ChatResult:
        self.heard.append(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(""))])


class Remembered(Embeddings):
    """An embedder that embeds a text once: the same sentences come up for many questions."""

    def __init__(self, embeddings: Embeddings) -> None:
        """Stand before another one."""
        self.embeddings = embeddings
        self.known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return their vectors."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known.update(zip(new, self.embeddings.embed_documents(new), strict=True))
        return [self.known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return its vector."""
        return self.embeddings.embed_query(text)


def build_examples(
    settings: Settings,
    questions: Sequence[Question],
    *,
    documents: Path | None = None,
    refusals: float = 0.15,
    seed: int = 0,
    count_tokens: Callable[[list[BaseMessage]], int],
    on_progress: Progress = lambda done, total, made: None,
) -> tuple[list[Example], dict[str, int]]:
    """Return examples made by the very chain that answers, and how many questions made none, by reason.

    A question is asked of all documents, of those alone that answer it (so that what distracts is near), and, for
    `refusals` of the examples, of all but them. The completion is the first reference that stands in what the model
    reads, as it is written there, with the passage's number. documents: a folder asked instead of the index in use.
    count_tokens: of messages, as the model to be trained counts them.
    """
    settings = settings.model_copy(
        update={"answer_style": style_to_train(settings), "answer_cache": False, "rewrite": "rules"}
    )
    with ExitStack() as stack:
        if documents:
            store = stack.enter_context(tempfile.TemporaryDirectory(prefix="groundwork-"))
            settings = settings.model_copy(update={"store": Path(store) / "store"})
            ingest(settings, [documents])
        index = stack.enter_context(open_index(settings))
        index = replace(index, embeddings=Remembered(index.embeddings))
        listener = Listener()
        model = ChatModel(listener, settings.context_tokens, count_tokens, is_small=True)
        ask = _asker(settings, index, model, listener)
        made: list[Example] = []
        skipped: Counter[str] = Counter()
        for done, question in enumerate(questions, 1):
            found = list(_asked(ask, question))
            made += [each for at, each in enumerate(found) if each not in found[:at]]
            skipped.update({} if found else {"no answer in what the model reads, or it would not be asked": 1})
            on_progress(done, len(questions), len(made))
        draw = random.Random(seed)  # noqa: S311  (a sample, not a secret)
        answers = sum(example.kind == "answer" for example in made)
        room = round(refusals * answers / (1 - refusals)) - (len(made) - answers)
        answerable = [question for question in questions if question.answerable]
        away = filter(None, (_refusal(ask, each) for each in draw.sample(answerable, len(answerable))))
        made += islice(away, max(0, room))
    draw.shuffle(made)
    return made, dict(skipped)


def style_to_train(settings: Settings) -> str:
    """Return the style in which the model is asked; auto never means to ask none."""
    if settings.answer_style in ("write", "brief"):
        return settings.answer_style
    return "brief" if read_header(locate(settings)).parameters < SMALL_MODEL else "write"


def _asked(ask: Ask, question: Question) -> Iterator[Example]:
    """Yield what is asked with all documents, and with the question's own alone."""
    if not question.answerable:
        messages, _ = ask(question.text, None)
        if messages:
            yield Example(question.text, "refusal", messages, REFUSAL)
        return
    for keep in (None, lambda passage: is_from(passage, question.documents)):
        messages, shown = ask(question.text, keep)
        if messages and (found := _completion(question.answers, shown)):
            yield Example(question.text, "answer", messages, found)


def _refusal(ask: Ask, question: Question) -> Example | None:
    """Return the question without the documents that answer it, unless what is read holds the answer all the same."""
    messages, shown = ask(question.text, lambda passage: not is_from(passage, question.documents))
    if not messages or _completion(question.answers, shown):
        return None
    return Example(question.text, "refusal", messages, REFUSAL)


def _asker(settings: Settings, index: Index, model: ChatModel, listener: Listener) -> Ask:
    """Return what asks the chain: a question, and which passages there are → messages, and the numbered texts in them.

    No messages mean that the model is not asked. Where passages are chosen, it is asked whatever they are worth.
    """
    keep: list[Keep] = []
    chosen = build_search(settings, index, limit=DEPTH) | RunnableLambda(
        lambda passages: list(filter(keep[-1], passages))[: settings.top_k]
    )
    whole = build_chain(settings, index, model)
    part = build_chain(settings.model_copy(update={"least_evidence": 0.0}), index, model, search=chosen)

    def ask(question: str, wanted: Keep | None) -> tuple[tuple[dict[str, str], ...], list[tuple[int, str]]]:
        listener.heard.clear()
        keep[:] = filter(None, [wanted])
        state = (part if wanted else whole).invoke({"question": question, "history": []})
        if not listener.heard:
            return (), []
        passages = state["source_documents"]
        shown = [(n, passage.page_content) for n, passage in enumerate(passages, 1)]
        if settings.answer_style == "brief":
            shown = [(n + 1, sentence.text) for n, sentence in sentences_to_read(passages)]
        messages = convert_to_openai_messages(listener.heard[-1])
        return tuple({"role": m["role"], "content": m["content"]} for m in messages), shown

    return ask


def _completion(answers: Sequence[str], shown: Sequence[tuple[int, str]]) -> str:
    """Return the first stretch shown that is one of the answers, whole words whatever their case, and its number."""
    for n, text in shown:
        for answer in filter(str.strip, answers):
            spaced = r"\s+".join(map(re.escape, answer.split()))
            if found := re.search(rf"(?<!\w){spaced}(?!\w)", text, re.IGNORECASE):
                return f"{' '.join(found[0].split())} [{n}]"
    return ""


def write_examples(examples: Sequence[Example], path: Path) -> None:
    """Write examples as JSON lines."""
    write_rows(path, map(asdict, examples))


def read_examples(path: Path, *, kind: str = "") -> list[Example]:
    """Read such lines, of which "messages" and "completion" must be there; raise EvaluationError that names the row.

    kind: what all are taken for, whatever they say.
    """

    def example(row: dict[str, Any]) -> Example:
        messages = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in row["messages"])
        if not messages or not str(row["completion"]).strip():
            raise ValueError("it asks or answers nothing")
        asked = str(row.get("question") or messages[-1]["content"])
        return Example(asked, kind or str(row.get("kind", "answer")), messages, str(row["completion"]))

    return parse_rows(path, REMEDY, example)
