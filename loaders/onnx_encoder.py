"""A sentence-transformers folder comes in; a LangChain Embeddings that runs its int8 ONNX form on the CPU goes out."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from errors import ModelError, one_line

FORM = "int8-v1"  # part of a cache file's name; raise the number when the same weights would be exported otherwise
ENCODERS = {"bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"}
OFFSET_POSITIONS = {"camembert", "mpnet", "roberta", "xlm-roberta"}  # their first token is at pad_token_id + 1
LARGEST_WEIGHTS = 1_800_000_000  # bytes; a protobuf file, which the float32 graph is for a moment, ends at 2 GiB
LEGACY_MODES = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}  # sentence-transformers before 6
# A protobuf file may be followed by more fields: this one is the ONNX metadata entry sha256 = 64 hex digits.
SEAL = b"\x72\x4a\x0a\x06sha256\x12\x40"


class OnnxEmbeddings(Embeddings):
    """Embed with an exported encoder; unit-length float32 vectors, safe to share between threads.

    Every text is a run of its own on one thread, and threads take different texts: 1.7 times as fast as padded batches
    on a busy machine with two cores, and a vector does not depend on the text's neighbours, whose range would set the
    scale of int8 in a batch.
    """

    def __init__(
        self, folder: Path, encoder: Path, *, query_prompt: str = "", passage_prompt: str = "", threads: int = 0
    ) -> None:
        """Load the tokenizer and pooling of `folder` and the graph `encoder`; 0 threads means one per usable CPU."""
        from tokenizers import Tokenizer

        self._pooling = _pooling(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest_input(folder))
        self._session = _open_session(encoder)
        self._query_prompt, self._passage_prompt = query_prompt, passage_prompt
        self._threads = threads or _usable_cpus()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per passage, in order."""
        prompted = [self._passage_prompt + text for text in texts]
        if len(prompted) < 2 or self._threads == 1:
            return [self._embed(text) for text in prompted]
        with ThreadPoolExecutor(self._threads) as pool:  # tokenizer and session let go of the interpreter's lock
            return list(pool.map(self._embed, prompted))

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return self._embed(self._query_prompt + text)

    def _embed(self, text: str) -> list[float]:
        ids = self._tokenizer.encode(text.replace("\n", " ")).ids  # as HuggingFaceEmbeddings does
        hidden = self._session.run(None, {"input_ids": np.array([ids], dtype=np.int64)})[0][0]
        vector = hidden.mean(axis=0) if self._pooling == "mean" else hidden[0]
        unit: list[float] = (vector / max(float(np.linalg.norm(vector)), 1e-12)).tolist()
        return unit


def load_onnx_embeddings(
    folder: Path, cache: Path, *, query_prompt: str = "", passage_prompt: str = "", threads: int = 0
) -> OnnxEmbeddings:
    """Load the exported encoder at `cache`; export it first where it is missing or damaged.

    Raise ModelError when the model can't be exported.
    """
    if not is_intact(cache):
        from loaders.onnx_export import export_onnx

        try:
            export_onnx(folder, cache)
        except OSError as error:
            raise ModelError(cache, one_line(error), "set RAG_CACHE to a folder of yours with room in it") from error
    return OnnxEmbeddings(folder, cache, query_prompt=query_prompt, passage_prompt=passage_prompt, threads=threads)


def supported(folder: Path) -> bool:
    """Tell whether the model is a BERT-like encoder with mean or cls pooling that needs no code of its own."""
    config, settings = _read(folder / "config.json"), _read(folder / "sentence_bert_config.json")
    modules = _read(folder / "modules.json") or []
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    return (
        config.get("model_type") in ENCODERS
        and "auto_map" not in config
        and all(str(module["type"]).startswith("sentence_transformers.") for module in modules)
        and kinds in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        and not modules[0]["path"]
        and _pooling(folder) in ("mean", "cls")
        and not settings.get("do_lower_case")  # would change the tokenizer
        and not _read(folder / "config_sentence_transformers.json").get("default_prompt_name")
        and (folder / "tokenizer.json").is_file()
        and 0 < sum(path.stat().st_size for path in folder.glob("*.safetensors")) < LARGEST_WEIGHTS
    )


def is_intact(path: Path) -> bool:
    """Tell whether `path` is an exported encoder, whole to the last bit: a flipped one would give wrong vectors."""
    if not path.is_file():
        return False
    data = path.read_bytes()  # 23 MB and its hash: 25 ms
    body = data[: -len(SEAL) - 64]
    return data == sealed(body)


def sealed(body: bytes) -> bytes:
    """Return an ONNX file's bytes with their SHA-256 added, still an ONNX file."""
    return body + SEAL + sha256(body).hexdigest().encode()


def _open_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # our threads take texts
    options.enable_mem_pattern = False  # a plan per text length would be kept for ever
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _pooling(folder: Path) -> str:
    """Return `mean`, `cls`, or an empty string for whatever else the folder asks for."""
    config = _read(folder / "1_Pooling" / "config.json")
    modes = config.get("pooling_mode") or [key for key, value in config.items() if "_mode_" in key and value]
    mode = modes[0] if isinstance(modes, list) and len(modes) == 1 else modes
    whole = config.get("include_prompt", True)
    return {"mean": "mean", "cls": "cls", **LEGACY_MODES}.get(str(mode), "") if whole else ""


def longest_input(folder: Path) -> int:
    """Return the most tokens that the model reads, special ones included."""
    config = _read(folder / "config.json")
    first = config.get("pad_token_id", 1) + 1 if config.get("model_type") in OFFSET_POSITIONS else 0
    limits = (
        _read(folder / "sentence_bert_config.json").get("max_seq_length"),
        _read(folder / "tokenizer_config.json").get("model_max_length"),
        config.get("max_position_embeddings", first) - first,
    )
    return int(min(limit for limit in limits if limit))


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else {}


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
