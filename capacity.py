"""The commands on models: a name or a machine comes in; what is there, and what of it fits, goes out."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import experiments
from options import (
    Accumulate,
    Batch,
    Checkpointing,
    Gpus,
    Json,
    Length,
    Matrices,
    Offload,
    Optimiser,
    Precision,
    Rank,
    Train,
    VirtualTokens,
    Zero,
)
from tables import print_models, print_table
from terminal import out, print_json, say

if TYPE_CHECKING:
    from inference.fitting import Fit, Room
    from inference.gguf_header import Header
    from inventory import Place
    from settings import Settings

USERS = ("model", "adapter", "embedder", "reranker", "nli", "judge_model")  # the settings that name models

models_app = typer.Typer(help="List the models on this machine, get one, or remove one.", invoke_without_command=True)
Name = Annotated[str, typer.Argument(help="hub:OWNER/REPO/FILE.gguf, or hub:OWNER/REPO, with @REVISION or without.")]


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models on this machine, get one, or remove one."""
    if context.invoked_subcommand:
        if as_json:
            raise typer.BadParameter("options of a subcommand stand behind it")
        return
    from chat_models import shipped_adapter
    from inventory import list_models
    from settings import PREFIX, ROOT

    settings = _settings()
    used = {f"{PREFIX}{key}".upper(): getattr(settings, key) for key in USERS}
    if settings.adapter == "auto":
        used[f"{PREFIX}ADAPTER"] = str(shipped_adapter(settings) or "")
    rows = [asdict(model) for model in list_models(used, settings.cache, ROOT, _place(settings))]
    if as_json:
        print_json({"models": rows})
    else:
        print_models(rows)


@models_app.command("get")
def models_get(name: Name, as_json: Json = False) -> None:
    """Download a model, or its newest revision, from the hub; what is here already is not fetched again."""
    from hub.downloads import fetch, look_up
    from hub.names import parse_name
    from inventory import describe

    settings = _settings()
    offer = look_up(parse_name(name))
    if not as_json:
        say(f"{offer.size / 1e6:.0f} MB, licence: {offer.licence or 'not on its card'}, commit {offer.commit}")
    record = fetch(offer, settings.cache, quiet=as_json)
    model = asdict(describe(record, _place(settings)))
    if as_json:
        print_json(model | {"files": record.files})
    else:
        print_models([model])


@models_app.command("remove")
def models_remove(name: Name, as_json: Json = False) -> None:
    """Delete what was downloaded for a name and no other name needs."""
    from hub.records import remove

    freed = remove(name, _settings().cache)
    if as_json:
        print_json({"removed": name, "freed_bytes": freed})
    else:
        out.print(f"{freed / 1e6:.0f} MB freed")


def plan(
    model: Annotated[str, typer.Option(metavar="NAME", help="A name as for RAG_MODEL. None: RAG_MODEL.")] = "",
    vram: Annotated[str, typer.Option(metavar="SIZES", help="GPUs to plan for: 8GB,8GB. None: those here.")] = "",
    context: Annotated[int, typer.Option(min=0, help="Tokens of context. 0: RAG_CONTEXT_TOKENS.")] = 0,
    users: Annotated[int, typer.Option(min=1, max=256, help="Conversations that each hold a context.")] = 1,
    train: Train = "",
    rank: Rank = 8,
    targets: Matrices = "",
    virtual_tokens: VirtualTokens = 20,
    batch: Batch = 1,
    length: Length = 1024,
    accumulate: Accumulate = 1,
    checkpointing: Checkpointing = False,
    precision: Precision = "bf16",
    optimiser: Optimiser = "adamw",
    gpus: Gpus = 0,
    zero: Zero = 0,
    offload: Offload = False,
    as_json: Json = False,
) -> None:
    """Say what memory a model takes on CPU and GPU, and how best to load it; or what training it takes."""
    import chat_models
    from inference.fitting import Room, fit
    from inference.gguf_header import read_header
    from inference.room import free_room, parse_sizes
    from settings import load_settings

    changed: dict[str, Any] = {"model": model, "model_sha256": ""} if model else {}
    settings = load_settings(**changed, **({"context_tokens": context} if context else {}))
    path = chat_models.locate(settings)
    header, here = read_header(path), free_room()
    room = Room(here.ram, parse_sizes(vram)) if vram else here
    if train:
        way: dict[str, Any] = {"method": train, "rank": rank, "targets": targets, "virtual_tokens": virtual_tokens}
        way |= {"batch": batch, "length": length, "accumulate": accumulate, "checkpointing": checkpointing}
        way |= {"precision": precision, "optimiser": optimiser, "zero": zero, "offload": offload}
        way["gpus"] = gpus or max(1, len(room.gpus))
        experiments.plan_training(header, way, room.gpus, as_json=as_json)
        return
    found = fit(header, chat_models.wanted_loading(settings), room, users=users)
    if as_json:
        print_json(_report(path, header, found, room, users))
    else:
        _show(path, header, found, room, users)


def _report(path: Path, header: "Header", found: "Fit", room: "Room", users: int) -> dict[str, Any]:
    totals = {f"{kind}_bytes": sum(getattr(use, kind) for use in found.uses) for kind in ("weights", "kv_cache")}
    totals["compute_bytes"] = sum(use.compute + use.output for use in found.uses)
    free = (room.ram, *room.gpus)
    return {
        "model_path": str(path),
        "architecture": header.architecture,
        "licence": header.licence,
        "parameters": header.parameters,
        "quantisation": header.quantisation,
        **totals,
        "total_bytes": sum(totals.values()),
        "layers": header.layers + 1,
        "gpu_layers": found.loading.gpu_layers,
        "context": found.loading.context_tokens,
        "most_context": found.most_context,
        "cache_type": found.loading.cache_type,
        "batch": found.loading.batch,
        "users": users,
        "fits": found.fits,
        "devices": [
            asdict(use) | {"total": use.total, "free": size} for use, size in zip(found.uses, free, strict=True)
        ],
        "advice": list(found.advice),
    }


def _show(path: Path, header: "Header", found: "Fit", room: "Room", users: int) -> None:
    kv = "–".join(map(str, sorted({min(header.kv_heads, default=0), max(header.kv_heads, default=0)})))
    size = (
        f"{header.parameters / 1e9:.2f} billion weights, {header.quantisation}, {header.licence or 'licence not told'}"
    )
    heads = f"{header.layers} layers, {header.heads} heads, {kv} of them with keys and values of {header.key_size}"
    out.print(f"{path.name}: {header.architecture}, {size}; {heads}.", markup=False)
    rows = []
    for use, free in zip(found.uses, (room.ram, *room.gpus), strict=True):
        sizes = {"weights": use.weights, "KV cache": use.kv_cache, "compute": use.compute, "logits": use.output}
        sizes |= {"total": use.total, "free": free}
        rows.append({"device": use.device, "layers": str(use.layers)} | {k: _size(v) for k, v in sizes.items()})
    print_table(rows)
    loading = found.loading
    best = f"RAG_GPU_LAYERS={loading.gpu_layers} RAG_CONTEXT_TOKENS={loading.context_tokens}"
    each = f" for each of {users} conversations" if users > 1 else ""
    verdict = "Fits" if found.fits else "Does not fit"
    out.print(
        f"{verdict}: {best} RAG_CACHE_TYPE={loading.cache_type}, batches of {loading.batch}; "
        f"the longest context{each} is {found.most_context}.",
        markup=False,
    )
    for line in found.advice:
        out.print(f"- {line}", markup=False)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _place(settings: "Settings") -> "Place":
    import chat_models
    from inference.room import free_room
    from inventory import Place

    return Place(chat_models.wanted_loading(settings), free_room())


def _settings() -> "Settings":
    from settings import load_settings

    return load_settings()
