"""A sentence-transformers folder comes in; one int8 ONNX file, checked against the original's vectors, goes out."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from errors import ModelError
from loaders.onnx_encoder import OnnxEmbeddings, sealed, supported

LEAST_COSINE = 0.99  # measured: 0.9948 on abstracts with all-MiniLM-L6-v2; 0.936 with one scale per whole matrix
PROBES = (
    "What does the warranty cover?",
    "Vector databases store embeddings and find the nearest ones.",
    "The mitochondrion makes most of the cell's supply of ATP.",
    "def add(a: int, b: int) -> int:\n    return a + b",
    "SELECT name, price FROM products WHERE price < 9.99 ORDER BY name;",
    "Invoice 2024-0173, due 31 March 2025: EUR 1,249.00 incl. 19 % VAT.",
    "Water boils at 100 °C at sea level, and at about 93 °C at 2,000 m.",
    "Der Vertrag kann mit einer Frist von drei Monaten gekündigt werden.",
    "Le chat dort sur le canapé pendant que la pluie tombe.",
    "El tren de las ocho sale hoy con veinte minutos de retraso.",
    "東京は日本の首都であり、人口が最も多い都市です。",
    "人工智能正在改变我们的工作方式。",
    "Москва была основана в двенадцатом веке.",
    "hello",
    "GPU",
    "asdf qwer zxcv 12345 !!! ???",
)
PASSAGE = (
    "An experimental study of a wing in a propeller slipstream was made in order to determine the spanwise "
    "distribution of the lift increase due to slipstream at different angles of attack. A substantial part of it was "
    "due to boundary-layer control; the rest agreed well with a potential flow theory. "
)


def export_onnx(folder: Path, target: Path) -> Path:
    """Write the encoder in `folder` as an int8 ONNX file and return its path.

    Needs the packages torch, sentence-transformers and onnx, and some seconds. The file appears whole or not at all.
    Raise ModelError when the model is not supported, or when its vectors differ too much from the original's.
    """
    if not supported(folder):
        raise ModelError(folder, "no ONNX form for this kind of model", "set RAG_ENCODER=torch")
    from sentence_transformers import SentenceTransformer

    target.parent.mkdir(parents=True, exist_ok=True)
    original = SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, model_kwargs={"attn_implementation": "eager"}
    )
    texts = [*PROBES, *(text + " " + PASSAGE * (1 + at % 3) for at, text in enumerate(PROBES))]
    wanted = original.encode([text.replace("\n", " ") for text in texts], normalize_embeddings=True)
    cosine = 0.0
    with TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
        plain, draft = Path(scratch) / "float32.onnx", Path(scratch) / "int8.onnx"
        trace(original[0].auto_model, plain)
        for reduce_range in (False, True):  # 7-bit weights where a CPU without VNNI overflows 16-bit sums: 0.9930
            quantise(plain, draft, reduce_range=reduce_range)
            got = np.array(OnnxEmbeddings(folder, draft).embed_documents(texts), dtype=np.float32)
            cosine = float((got * wanted).sum(axis=1).mean())
            if cosine >= LEAST_COSINE:
                draft.replace(target)
                return target
    raise ModelError(folder, f"its int8 vectors differ: cosine {cosine:.4f} to the original's", "set RAG_ENCODER=torch")


def trace(model: Any, target: Path) -> None:
    """Write the float32 graph, input_ids (1, tokens) → hidden (1, tokens, dimension): one text, hence no mask."""
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.model(input_ids=input_ids).last_hidden_state
            return hidden

    example = torch.arange(5, 14).unsqueeze(0)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch 2.13 calls this exporter legacy; the new one needs onnxscript as well
        torch.onnx.export(
            Encoder().eval(),
            (example,),
            str(target),
            input_names=["input_ids"],
            output_names=["hidden"],
            dynamic_axes={"input_ids": {1: "tokens"}, "hidden": {1: "tokens"}},
            opset_version=17,
            dynamo=False,
        )


def quantise(plain: Path, target: Path, *, reduce_range: bool, per_channel: bool = True) -> None:
    """Write the int8 form of a float32 graph, sealed; one scale per output channel, or per matrix."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(plain)
    add_pre_process_metadata(model)  # else onnxruntime 1.32 advises, through the root logger, a step that gains nothing
    quantize_dynamic(model, target, per_channel=per_channel, reduce_range=reduce_range, weight_type=QuantType.QInt8)
    target.write_bytes(sealed(target.read_bytes()))
