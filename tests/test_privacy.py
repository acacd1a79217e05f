"""No telemetry and no download: the opt-outs are set before any library is imported, and imports open no socket."""

import json
import os
import subprocess
import sys

import pytest

from privacy import OPT_OUTS
from settings import ROOT

CONTRARY = {
    "ANONYMIZED_TELEMETRY": "True",
    "DO_NOT_TRACK": "0",
    "HF_HUB_OFFLINE": "0",
    "LANGCHAIN_TRACING_V2": "true",
    "LANGSMITH_TRACING": "true",
    "TRANSFORMERS_OFFLINE": "0",
}
NO_NETWORK = """
import socket
def refuse(*arguments, **options):
    raise AssertionError(f"network used: {arguments[:3]}")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
"""


def run(code: str, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in OPT_OUTS and not key.startswith("RAG_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("module", ["loaders", "chains", "settings"])
def test_importing_any_of_our_parts_switches_telemetry_off_whatever_the_environment_said(module: str) -> None:
    found = json.loads(run(f"import {module}, os, json; print(json.dumps(dict(os.environ)))", **CONTRARY))
    assert {key: found.get(key) for key in OPT_OUTS} == OPT_OUTS


@pytest.mark.parametrize("module", ["loaders", "chains", "settings"])
def test_the_opt_outs_come_before_any_library_that_reads_them(module: str) -> None:
    heavy = "'langchain_core','langsmith','chromadb','unstructured','transformers','huggingface_hub','ragas'"
    code = (
        "import sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in ({heavy}) and 'privacy' not in sys.modules: raise AssertionError(name)\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"import {module}\n"
        "print('privacy' in sys.modules)"
    )
    assert run(code) == "True\n"


def test_ragas_unstructured_and_chromadb_are_imported_without_the_network() -> None:
    code = (
        NO_NETWORK
        + "import loaders, warnings; warnings.simplefilter('ignore')\n"
        + "import ragas, ragas.metrics, unstructured.partition.auto, chromadb, sys\n"
        + "print(ragas._analytics.do_not_track(), 'ragas' in sys.modules)"
    )
    assert run(code).splitlines()[-1] == "True True"


def test_the_hub_library_is_offline_and_chroma_collects_nothing() -> None:
    code = (
        NO_NETWORK
        + "import settings, huggingface_hub.constants as c, langsmith.utils as u, chromadb.config as k\n"
        + "print(c.HF_HUB_OFFLINE, c.HF_HUB_DISABLE_TELEMETRY, bool(u.tracing_is_enabled()), "
        + "k.Settings().anonymized_telemetry)"
    )
    assert run(code, **CONTRARY).splitlines()[-1] == "True True False False"
