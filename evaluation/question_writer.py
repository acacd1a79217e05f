"""A chat model and sentences of documents come in; candidate questions that it writes about them go out."""

from collections.abc import Iterable, Iterator

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field, ValidationError

from chains.queries import Turn, normalise
from evaluation.english import LEANING
from evaluation.facts import MOST_WORDS, SHORTEST, Proof, holds
from evaluation.question_variants import Candidate
from prompts import load_prompt
from words import content_words

MOST_TOKENS = 300  # of what is written about a sentence
FENCE = '"""'


class Written(BaseModel):
    """What a model writes about one sentence; every string is bounded, so that it can't run on."""

    question: str = Field(min_length=12, max_length=160)
    answer: str = Field(min_length=1, max_length=100)
    in_other_words: str = Field(min_length=12, max_length=160)
    follow_up: str = Field(min_length=8, max_length=120)
    follow_up_answer: str = Field(min_length=1, max_length=100)


def written(llm: BaseChatModel, proofs: Iterable[Proof], *, most: int) -> Iterator[Candidate]:
    """Yield what the model asks about `most` sentences, where the answer is in the sentence's own words."""
    ask = load_prompt("make_questions") | llm.with_structured_output(Written).bind(max_tokens=MOST_TOKENS)
    told = (proof for proof in proofs if len(proof.passage) >= SHORTEST)
    for _, proof in zip(range(most), told, strict=False):
        try:
            found = Written.model_validate(ask.invoke({"passage": proof.passage.replace(FENCE, "'''")}))
        except (OutputParserException, ValidationError):
            continue  # cut at the end of its tokens
        yield from _candidates(found, proof)


def _candidates(found: Written, proof: Proof) -> Iterator[Candidate]:
    question, other, follow_up = (normalise(text) for text in (found.question, found.in_other_words, found.follow_up))
    answer, second = normalise(found.answer), normalise(found.follow_up_answer)
    if not _is_fit(question, answer, proof):
        return
    yield Candidate("single-fact", question, (answer,), (proof,), made_by="model")
    if _is_fit(other, answer, proof) and content_words(other) != content_words(question):
        yield Candidate("paraphrase", other, (answer,), (proof,), made_by="model")
    if LEANING.search(follow_up) and holds(proof.passage, second) and second != answer:
        turn: Turn = {"question": question, "answer": f"{answer.rstrip('.')}."}
        yield Candidate("follow-up", follow_up, (second,), (proof,), (turn,), made_by="model")


def _is_fit(question: str, answer: str, proof: Proof) -> bool:
    """Tell whether a question stands alone, does not tell its answer, and finds it in the proof."""
    if not question.endswith("?") or LEANING.search(question) or len(answer.split()) > MOST_WORDS:
        return False
    return holds(proof.passage, answer) and not content_words(answer) <= content_words(question)
