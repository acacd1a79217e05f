"""Questions with reference answers come in; the prompts that `ask` makes of them, with what to answer, go out."""

import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import Field

from chains.evidence import sentences_to_read
from chains.post_filter import REFUSAL
from chat_models import SMALL_MODEL, ChatModel, locate
from errors import EvaluationError, one_line
from inference.gguf_header import read_header
from ingestion import ingest
from pipeline import build_chain, open_index
from searching import Index, Search, build_search
from settings import Settings
from training.mining import DEPTH, Question, is_from

Progress = Callable[[int, int, int], None]  # questions done, in all, examples made
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
        listener = Listener()
        model = ChatModel(listener, settings.context_tokens, count_tokens, is_small=True)
        ask = partial(_heard, settings, index, model, listener)
        made: list[Example] = []
        away: list[Example] = []
        skipped: Counter[str] = Counter()
        for done, question in enumerate(questions, 1):
            found = list(_asked(ask, question))
            made += [each for at, each in enumerate(found) if each not in found[:at]]
            skipped.update({} if found else {"no answer in what the model reads, or it would not be asked": 1})
            if question.answerable:
                away += [each for each in [_refusal(ask, question)] if each]
            on_progress(done, len(questions), len(made))
    draw = random.Random(seed)  # noqa: S311  (a sample, not a secret)
    room = round(refusals * len(made) / (1 - refusals)) - sum(example.kind == "refusal" for example in made)
    made += draw.sample(away, max(0, min(room, len(away))))
    draw.shuffle(made)
    return made, dict(skipped)


def style_to_train(settings: Settings) -> str:
    """Return the style in which the model is asked; auto never means to ask none."""
    if settings.answer_style in ("write", "brief"):
        return settings.answer_style
    return "brief" if read_header(locate(settings)).parameters < SMALL_MODEL else "write"


def _asked(ask: Callable[..., Any], question: Question) -> Iterator[Example]:
    """Yield what is asked with all documents, and with the question's own alone."""
    for keep in (None, lambda passage: is_from(passage, question.documents)):
        messages, shown = ask(question.text, keep)
        if messages and not question.answerable and keep is None:
            yield Example(question.text, "refusal", messages, REFUSAL)
        elif messages and (found := _completion(question.answers, shown)):
            yield Example(question.text, "answer", messages, found)


def _refusal(ask: Callable[..., Any], question: Question) -> Example | None:
    """Return the question without the documents that answer it, unless what is read holds the answer all the same."""
    messages, shown = ask(question.text, lambda passage: not is_from(passage, question.documents))
    if not messages or _completion(question.answers, shown):
        return None
    return Example(question.text, "refusal", messages, REFUSAL)


def _heard(
    settings: Settings,
    index: Index,
    model: ChatModel,
    listener: Listener,
    question: str,
    keep: Callable[[Document], bool] | None,
) -> tuple[tuple[dict[str, str], ...], list[tuple[int, str]]]:
    """Return the messages that the chain gives the model, none where it is not asked, and the numbered texts in them.

    keep: which passages there are; then the model is asked whatever they are worth.
    """
    search: Search | None = None
    if keep:
        settings = settings.model_copy(update={"least_evidence": 0.0})
        search = build_search(settings, index, limit=DEPTH) | RunnableLambda(
            lambda passages: [passage for passage in passages if keep(passage)][: settings.top_k]
        )
    listener.heard.clear()
    state = build_chain(settings, index, model, search=search).invoke({"question": question, "history": []})
    if not listener.heard:
        return (), []
    passages = state["source_documents"]
    shown = [(n, passage.page_content) for n, passage in enumerate(passages, 1)]
    if settings.answer_style == "brief":
        shown = [(n + 1, sentence.text) for n, sentence in sentences_to_read(passages)]
    messages = convert_to_openai_messages(listener.heard[-1])
    return tuple({"role": m["role"], "content": m["content"]} for m in messages), shown


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
    rows = (json.dumps(asdict(example), ensure_ascii=False) for example in examples)
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def read_examples(path: Path, *, kind: str = "") -> list[Example]:
    """Read such lines, of which "messages" and "completion" must be there; raise EvaluationError that names the row.

    kind: what all are taken for, whatever they say.
    """
    found, number = [], 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):  # noqa: B007  (the error names it)
            if line.strip():
                row = json.loads(line)
                messages = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in row["messages"])
                if not messages or not str(row["completion"]).strip():
                    raise ValueError("it asks or answers nothing")
                asked = str(row.get("question") or messages[-1]["content"])
                found.append(Example(asked, kind or str(row.get("kind", "answer")), messages, str(row["completion"])))
    except OSError as error:
        raise EvaluationError(path, one_line(error), REMEDY) from None
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", REMEDY) from None
    return found
