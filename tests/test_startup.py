"""The start: what is put off isn't loaded unasked, and is the real thing once it is asked for."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_question_loads_neither_grpc_nor_the_types_of_langsmiths_service() -> None:
    loads = (
        "import startup, sys, pipeline, explaining, chromadb; print({'grpc', 'langsmith.types.run'} & {*sys.modules})"
    )
    assert run(loads) == "set()"


def test_what_was_put_off_is_the_real_thing_when_it_is_asked_for() -> None:
    code = (
        "import startup, langsmith.client, langsmith.types, chromadb;"
        "from langsmith.types import Run;"
        "from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter;"
        "exporter = OTLPSpanExporter(endpoint='http://127.0.0.1:1');"
        "print(Run.__name__, langsmith.types.Run is Run, type(exporter).__name__); exporter.shutdown()"
    )
    assert run(code) == "Run True OTLPSpanExporter"
