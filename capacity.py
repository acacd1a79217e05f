"""The commands on models: a name or a machine comes in; what is there, and what of it fits, goes out."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from options import Json
from tables import print_models
from terminal import out, print_json, say

USERS = ("model", "embedder", "reranker", "nli", "judge_model")  # the settings that name models
models_app = typer.Typer(help="List the models on this machine, get one, or remove one.", invoke_without_command=True)
Name = Annotated[str, typer.Argument(help="hub:OWNER/REPO/FILE.gguf, or hub:OWNER/REPO, with @REVISION or without.")]


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models on this machine, get one, or remove one."""
    if context.invoked_subcommand:
        if as_json:
            raise typer.BadParameter("options of a subcommand stand behind it")
        return
    from inventory import list_models
    from settings import PREFIX, ROOT

    settings = _settings()
    used = {f"{PREFIX}{key}".upper(): getattr(settings, key) for key in USERS}
    rows = [asdict(model) for model in list_models(used, settings.cache, ROOT)]
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
    model = asdict(describe(record))
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


def _settings() -> Any:
    from settings import load_settings

    return load_settings()
