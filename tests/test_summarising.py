"""Summaries: everything is read in windows that fit, and no sentence says what the document does not."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from surveys.coverage import WholeAnswer
from surveys.summarising import Writer, build_summary, cut

PARAGRAPHS = (
    "The kettle Orion holds 3 litres of water. Ada Brown built it in Leeds.",
    "Her workshop made forty kettles a week. All of them were of copper.",
    "The workshop burned down in 1912. Nobody was hurt.",
    "A museum in Leeds shows the last kettle today. Visitors may not touch it.",
)
TEXT = "\n\n".join(PARAGRAPHS)


class Model:
    """Write the given drafts one after the other; read so many passages at once; keep what was asked."""

    def __init__(self, *drafts: list[str], most: int = 9) -> None:
        self.drafts, self.most, self.asked = iter(drafts), most, list[tuple[str, str, int]]()

    def write(self, passages: Sequence[Document], before: str, words: int) -> list[str]:
        self.asked.append(("\n\n".join(passage.page_content for passage in passages), before, words))
        return next(self.drafts)

    def fits(self, passages: Sequence[Document], before: str, words: int) -> bool:
        return sum(passage.page_content.count("\n\n") + 1 for passage in passages) <= self.most

    def writer(self, *, refine: bool = False) -> Writer:
        return Writer(self.write, self.fits, 0.7, refine)


def summaries(embeddings: Embeddings, writer: Writer | None, most_words: int = 40) -> Iterator[WholeAnswer]:
    place = {"source": "/docs/a.md", "page": None, "section": "", "line": 1}
    passages = [Document(page_content=p, metadata=place | {"start": TEXT.index(p)}) for p in PARAGRAPHS]

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(embeddings.embed_documents(texts))

    def read(source: str) -> tuple[list[Document], np.ndarray]:
        return passages, embed(list(PARAGRAPHS))

    yield from build_summary(read=read, embed=embed, most_words=most_words, writer=writer).stream(["/docs/a.md"])


def last(answers: Iterator[WholeAnswer]) -> WholeAnswer:
    *_, answer = answers
    for statement in answer.statements:
        for cited in statement.citations:
            assert TEXT[cited.start : cited.end] == cited.text
            assert answer.sources[cited.n - 1].text == cited.text
    assert [source.n for source in answer.sources] == list(answer.cited) == list(range(1, len(answer.cited) + 1))
    return answer


def test_without_a_model_it_is_made_of_the_documents_own_sentences(embeddings: Embeddings) -> None:
    answer = last(summaries(embeddings, None, most_words=20))
    assert answer.quoted
    assert all(statement.text in TEXT for statement in answer.statements)
    assert 0 < sum(len(statement.text.split()) for statement in answer.statements) <= 20
    assert answer.coverage.told == "read 4 of 4 passages, 50 words"
    assert answer.answer.startswith(f"{answer.statements[0].text} [1]")


def test_windows_are_summarised_each_and_their_summaries_kept_if_short(embeddings: Embeddings) -> None:
    model = Model(["Ada Brown built the kettle Orion in Leeds."], ["The workshop burned down in 1912."], [], most=2)
    made = list(summaries(embeddings, model.writer(), most_words=60))
    assert [answer.coverage.windows for answer in made] == [1, 2, 3, 3]
    assert [answer.coverage.passages for answer in made] == [2, 3, 4, 4]
    assert [asked[0].count("\n\n") + 1 for asked in model.asked] == [2, 2, 2]
    answer = last(iter(made))
    assert answer.answer.startswith(
        "Ada Brown built the kettle Orion in Leeds. [1, 2] The workshop burned down in 1912. [3]"
    )
    assert len(answer.statements) > 2  # the third window's own sentences, as the model said nothing
    assert not answer.quoted


def test_what_the_document_does_not_say_gives_way_to_its_own_sentences(embeddings: Embeddings) -> None:
    model = Model(["Ada Brown built the kettle Orion in Leeds.", "It was sold for 900 pounds to a museum in Paris."])
    answer = last(summaries(embeddings, model.writer()))
    assert "900" not in answer.answer
    first, *rest = answer.statements
    assert first.text == "Ada Brown built the kettle Orion in Leeds."
    assert rest
    assert all(statement.text in TEXT for statement in rest)


def test_summaries_that_are_too_long_together_are_summarised_again(embeddings: Embeddings) -> None:
    whole = [f"{sentence.rstrip('.')}." for sentence in TEXT.replace("\n\n", " ").split(". ")]
    model = Model(whole, ["Ada Brown built the kettle Orion in Leeds.", "It fell from the moon."])
    answer = last(summaries(embeddings, model.writer(), most_words=20))
    assert answer.answer == "Ada Brown built the kettle Orion in Leeds. [1, 2]"
    assert model.asked[1][0] == " ".join(whole)


def test_where_the_model_shortens_nothing_the_central_statements_stay(embeddings: Embeddings) -> None:
    whole = [f"{sentence.rstrip('.')}." for sentence in TEXT.replace("\n\n", " ").split(". ")]
    answer = last(summaries(embeddings, Model(whole, whole).writer(), most_words=20))
    assert 0 < sum(len(statement.text.split()) for statement in answer.statements) <= 20
    assert {statement.text for statement in answer.statements} <= set(whole)


def test_refining_goes_on_with_the_summary_so_far(embeddings: Embeddings) -> None:
    model = Model(
        ["Ada Brown built it in Leeds."],
        ["Ada Brown built it in Leeds.", "The workshop burned down in 1912."],
        ["The moon is made of cheese."],
        most=2,
    )
    answer = last(summaries(embeddings, model.writer(refine=True), most_words=60))
    assert [asked[1] for asked in model.asked] == [
        "",
        "Ada Brown built it in Leeds.",
        "Ada Brown built it in Leeds. The workshop burned down in 1912.",
    ]
    assert [statement.text for statement in answer.statements][:2] == [
        "Ada Brown built it in Leeds.",
        "The workshop burned down in 1912.",
    ]
    assert "cheese" not in answer.answer


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(0, 1))
def test_windows_cover_everything_and_overlap(sizes: list[int], overlap: int) -> None:
    windows = cut(len(sizes), lambda part: sum(sizes[part]) <= 12, overlap=overlap)
    assert windows[0].start == 0
    assert windows[-1].stop == len(sizes)
    for one, two in pairwise(windows):
        assert two.start == one.stop - overlap
        assert two.stop > one.stop
    assert all(sum(sizes[part]) <= 12 or part.stop - part.start <= 1 + overlap for part in windows)


@pytest.mark.parametrize("fits", [True, False])
def test_windows_are_as_long_as_fit(fits: bool) -> None:
    assert cut(5, lambda part: fits, overlap=1)[0] == slice(0, 5 if fits else 1)
