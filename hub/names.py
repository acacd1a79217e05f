"""A model's name on the hub comes in; its parts, and the place that its files have here, go out."""

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from errors import ModelError

HUB = "hub:"
FORM = re.compile(r"hub:(?P<repo>\w[\w.-]*/[\w.-]+)(?:/(?P<file>[^@]+\.gguf))?(?:@(?P<revision>[\w./-]+))?")
OF_A_FOLDER = ("*.json", "*.txt", "*.safetensors", "*.model")  # never pickles, never code
OF_SEVERAL = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")  # llama.cpp opens the other parts by itself


@dataclass(frozen=True)
class HubName:
    """A model on the hub: one GGUF file of a repository, or (file "") a folder, as embedders and rerankers have."""

    name: str
    repo: str
    file: str
    revision: str  # "": the main branch

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the GGUF files that belong together: one, or all into which a model was split; none of a folder."""
        if split := OF_SEVERAL.search(self.file):
            stem, count = self.file[: split.start()], int(split[1])
            return tuple(f"{stem}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1))
        return (self.file,) if self.file else ()

    @property
    def home(self) -> Path:
        """Return the folder in which huggingface_hub keeps the repository: blobs/ by hash, snapshots/ by commit."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.repo, repo_type="model")

    def wants(self, file: str) -> bool:
        """Tell whether a file of the repository belongs to the model."""
        return file in self.parts if self.parts else any(fnmatch(file, pattern) for pattern in OF_A_FOLDER)

    def lacks(self, files: list[str]) -> str:
        """Return what of the model is not among these files; "" where nothing is."""
        if self.parts:
            return ", ".join(part for part in self.parts if part not in files)
        has_weights = any(file.endswith(".safetensors") for file in files)
        return "" if has_weights and "config.json" in files else "config.json with weights in safetensors"


def parse_name(name: str) -> HubName:
    """Return the parts of a name; raise ModelError for one that is not of the form, or that leaves its repository."""
    found = FORM.fullmatch(name)
    if not found or not all(stays_inside(found[key] or "-") for key in ("repo", "file", "revision")):
        forms = "hub:OWNER/REPO/FILE.gguf for a chat model, hub:OWNER/REPO for others, then @REVISION if you like"
        raise ModelError(name, "not the name of a model on the hub", f"write {forms}")
    return HubName(name, found["repo"], found["file"] or "", found["revision"] or "")


def stays_inside(path: str) -> bool:
    """Tell whether a relative path stays below its folder."""
    return not {"", ".", ".."} & set(path.split("/")) and "\0" not in path and "\\" not in path
