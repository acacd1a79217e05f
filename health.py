"""Settings come in; what is installed, loaded and healthy, and what to do about the rest, goes out."""

import importlib.util
import platform
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import chat_models
import ingestion
import pipeline
from errors import RagError, StoreError
from hashes import known_sha256
from inference.chat_model import LlamaCppChat
from loaders.checkup import TRUTH
from loaders.checkup import examine as examine_generation
from loaders.pointer import current
from settings import Settings

PACKAGES = (
    "langchain",
    "langchain-community",
    "langchain-huggingface",
    "chromadb",
    "unstructured",
    "llama-cpp-python",
    "ragas",
    "torch",
    "transformers",
)
# part → (a module that it needs, the command that adds it)
OPTIONAL = {
    "notebooks": ("ipykernel", "pip install -c constraints.txt -e .[notebooks]"),
    "tests": ("pytest", "pip install -c constraints.txt -e .[test]"),
    "evaluation": ("evaluation", "restore the folder evaluation/"),
}


def examine(settings: Settings, *, repair: bool = False) -> dict[str, Any]:
    """Return a report by part; what is wrong stands under `problems`, each with its remedy. Mend the index if asked."""
    problems: list[str] = []
    report = {
        "packages": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "embedder": _try(_embedder, settings, problems),
        "model": _try(_model, settings, problems),
        "index": _try(partial(_index, repair=repair), settings, problems),
        "missing_parts": {p: fix for p, (module, fix) in OPTIONAL.items() if not importlib.util.find_spec(module)},
    }
    return report | {"problems": problems}


def _try(examine_part: Any, settings: Settings, problems: list[str]) -> dict[str, Any]:
    try:
        return dict(examine_part(settings, problems))
    except RagError as error:
        problems.append(str(error))
        return {}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing: make setup"


def _embedder(settings: Settings, problems: list[str]) -> dict[str, Any]:
    import torch

    identity = pipeline.embedder_identity(settings)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "name": identity.name,
        "weights_sha256": identity.weights_sha256,
        "backend": identity.backend,
        "device": device,
    }


def _model(settings: Settings, problems: list[str]) -> dict[str, Any]:
    with chat_models.open_model(settings) as model:
        if not isinstance(model.llm, LlamaCppChat):
            return {"name": settings.model, "server": settings.model_url, "note": "asked for nothing: it may be off"}
        engine, adapter = model.llm.engine, model.llm.engine.adapter
        if short := chat_models.offload_shortfall(settings, engine.offload):
            problems.append(short)
        path = chat_models.locate(settings)
        return {
            "path": str(path),
            "sha256": known_sha256(path, settings.cache),
            "gpu_offload_compiled_in": bool(engine.offload.backends),
            "offload": str(engine.offload),
            "devices": [asdict(share) for share in engine.offload.shares],
            "context_tokens": model.context_tokens,
        } | ({"adapter": str(adapter), "adapter_sha256": known_sha256(adapter.path, settings.cache)} if adapter else {})


def _index(settings: Settings, problems: list[str], *, repair: bool) -> dict[str, Any]:
    name = current(settings.store)
    if name is None:
        return {"state": f"there is no index here yet ({settings.store}): python main.py ingest PATH makes one"}
    directory = settings.store / name
    damage = examine_generation(directory)
    hopeless = [line for line in damage if line.startswith(TRUTH)]
    if damage and repair and not hopeless:
        ingestion.rebuild_index(settings)
        damage = examine_generation(directory)
    if damage:
        remedy = "ingest --rebuild PATH" if hopeless or repair else "doctor --repair"
        problems.append(str(StoreError(directory, "; ".join(damage), f"run: python main.py {remedy}")))
    if hopeless:
        return {"directory": str(directory), "damage": damage}
    with pipeline.open_store_to_read(settings) as store:
        states = store.catalog.sources().values()
        return {
            "directory": str(directory),
            "documents": sum(not state.failure for state in states),
            "failed": sum(bool(state.failure) for state in states),
            "chunks": len(store.catalog.chunk_ids()),
            "damage": damage,
        }
