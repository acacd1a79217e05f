"""A finished training's folder and its base's GGUF file come in; a GGUF file of what was learnt goes out."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

import models
from errors import ModelError
from hashes import file_sha256, read_json
from inference.adapters import BASE
from inference.gguf_header import read_header
from settings import ROOT, Settings
from training.finished import method, read_changes, read_lora

if TYPE_CHECKING:
    import gguf

NOTES = "training.json"
TOLD = {"name": "general.name", "licence": "general.license", "description": "general.description"}
# not to be copied: of the reader, of the writer, and of a file in parts
OWN = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture", "general.alignment")
ELEMENTS = {"f16": np.float16, "f32": np.float32}


def locate_base(settings: Settings, folder: Path, base: str = "") -> Path:
    """Return the GGUF file that was trained, by training.json and its hash; or the one that `base` names.

    base: of the same weights, as RAG_MODEL has it: for a training from a folder, or of another program. Raise
    ModelError where none is named, and where the file is not the one that was trained.
    """
    notes = read_json(folder / NOTES)
    sha256 = "" if base else str(notes.get("base_sha256", ""))
    if not (base or sha256):
        reason = f"its {NOTES} names no GGUF file that it was trained from"
        raise ModelError(folder, reason, "Name one of the same weights with --base")
    name = base or str(notes.get("base", ""))
    return models.locate_weights(name, base=ROOT, sha256=sha256, offline=settings.offline, cache=settings.cache)


def export_adapter(folder: Path, target: Path, base: Path, *, kind: str = "f16") -> dict[str, Any]:
    """Write the LoRA that peft saved in a folder as a GGUF adapter, for RAG_ADAPTER; return what was written.

    kind: of its numbers, f16 or f32. Equal input makes equal bytes. Raise ModelError where the target is there or the
    folder holds no LoRA of this base, and leave nothing behind then.
    """
    import gguf

    if (trained := method(folder)) != "lora":
        raise ModelError(folder, f"what {trained} learns is no LoRA", "Export it with --merge")
    header = read_header(base)
    lora = read_lora(folder, header)
    with _draft(target) as draft:
        writer = gguf.GGUFWriter(draft, header.architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, lora.alpha)  # float64 ends the process in llama.cpp 0.3.36
        writer.add_string(BASE, file_sha256(base))
        _tell(writer, folder)
        for name, (a, b) in lora.pairs.items():
            writer.add_tensor(f"{name}.lora_a", a.astype(ELEMENTS[kind]))
            writer.add_tensor(f"{name}.lora_b", b.astype(ELEMENTS[kind]))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return _report(target, kind, "ADAPTER")


def merge(folder: Path, target: Path, base: Path, *, kind: str = "f16") -> dict[str, Any]:
    """Write the base with what was learnt in its weights as a GGUF file, for RAG_MODEL; return what was written.

    kind: of the matrices, f16, f32 or q8_0; all else is float32. One tensor at a time is in memory. Raise ModelError
    where the target is there, and where what was learnt can't be put into these weights; leave nothing behind then.
    """
    import gguf

    changes, reader = read_changes(folder, read_header(base)), gguf.GGUFReader(base)
    if "split.count" in reader.fields:
        raise ModelError(base, "it is one part of a model", "Join the parts with llama.cpp's gguf-split --merge")
    types = {tensor.name: _type(tensor, kind) for tensor in reader.tensors}
    with _draft(target) as draft:
        writer = _described(draft, reader, kind)
        _tell(writer, folder)
        for tensor in reader.tensors:
            shape, (block, size) = tuple(map(int, tensor.shape[::-1])), gguf.GGML_QUANT_SIZES[types[tensor.name]]
            length = math.prod(shape) // block * size
            writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), length, types[tensor.name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in reader.tensors:
            try:
                weights = gguf.dequantize(tensor.data, tensor.tensor_type)
            except NotImplementedError as error:
                raise ModelError(base, str(error), "Name the same model in other weights with --base") from None
            if change := changes.get(tensor.name):
                weights = change(weights)
            writer.write_tensor_data(gguf.quantize(np.ascontiguousarray(weights), types[tensor.name]))
        writer.close()
    return _report(target, kind, "MODEL")


def _type(tensor: "gguf.ReaderTensor", kind: str) -> "gguf.GGMLQuantizationType":
    """Return the type that a tensor gets: as llama.cpp's conversion, with vectors whole, and F16 for odd rows."""
    from gguf import GGMLQuantizationType

    if len(tensor.shape) < 2:
        return GGMLQuantizationType.F32
    return GGMLQuantizationType["F16" if kind == "q8_0" and tensor.shape[0] % 32 else kind.upper()]


def _described(draft: Path, reader: "gguf.GGUFReader", kind: str) -> "gguf.GGUFWriter":
    """Begin a file with all that the base says of itself and of its tokens."""
    import gguf

    writer = gguf.GGUFWriter(draft, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key not in OWN:
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)
    written = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16}
    writer.kv_data[0].pop(gguf.Keys.General.FILE_TYPE, None)
    writer.add_file_type(written.get(kind, gguf.LlamaFileType.MOSTLY_Q8_0))
    return writer


def _tell(writer: "gguf.GGUFWriter", folder: Path) -> None:
    """Put in what training.json says of its result."""
    notes = read_json(folder / NOTES)
    for name, key in TOLD.items():
        if notes.get(name):
            writer.kv_data[0].pop(key, None)
            writer.add_string(key, str(notes[name]))


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Lend a path beside the target; what lies there becomes the target when all went well."""
    if target.suffix != ".gguf" or target.exists():
        reason = "it is there already" if target.exists() else "its name does not end in .gguf"
        raise ModelError(target, reason, "Name a new file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
        draft = Path(scratch) / target.name
        yield draft
        draft.replace(target)


def _report(target: Path, kind: str, setting: str) -> dict[str, Any]:
    path, sha256 = target.resolve(), file_sha256(target)
    env = [f"RAG_{setting}={path}", f"RAG_{setting}_SHA256={sha256}"]
    return {"file": str(path), "bytes": path.stat().st_size, "type": kind, "sha256": sha256, "env": env}
