"""The same questions through an OpenAI-compatible server: a real one on loopback, with the packaged model behind it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

import chat_models
import ingestion
import pipeline
from chains.rag import ask
from errors import ModelError
from inference.remote_model import estimate_tokens, remote_model
from settings import load_settings


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with chat_models.open_model(load_settings()) as model:

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if asked["model"] != "smol":
                    self.send_error(404, "no such model")
                    return
                kinds = {"system": SystemMessage, "user": HumanMessage}
                messages = [kinds[m["role"]](m["content"]) for m in asked["messages"]]
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for chunk in model.llm.stream(messages, max_tokens=asked["max_completion_tokens"]):
                    self.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": chunk.content}}]})
                used = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
                self.event({"choices": [], "usage": used})
                self.wfile.write(b"data: [DONE]\n\n")

            def event(self, body: dict) -> None:
                about = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "smol"}
                self.wfile.write(f"data: {json.dumps(about | body)}\n\n".encode())

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
            threading.Thread(target=http.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{http.server_port}/v1"
            http.shutdown()


def test_a_question_is_answered_by_the_server_with_the_same_prompt_and_check(server: str, tmp_path: Path) -> None:
    (tmp_path / "kettle.md").write_text("The kettle Orion holds 3 litres of water.\n")
    settings = load_settings(store=tmp_path / "store", model="smol", model_url=server, answer_style="brief")
    ingestion.ingest(settings, [tmp_path / "kettle.md"])
    with pipeline.open_index(settings) as index, pipeline.open_chain(settings, index) as chain:
        remote = ask(chain, "How much water does the kettle Orion hold?")
    local_settings = load_settings(store=tmp_path / "store", answer_style="brief")
    with pipeline.open_index(local_settings) as index, pipeline.open_chain(local_settings, index) as chain:
        local = ask(chain, "How much water does the kettle Orion hold?")
    assert "3 litres" in remote.answer
    assert remote.answer == local.answer
    assert remote.usage == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def test_a_model_that_the_server_does_not_know_is_one_line(server: str) -> None:
    with pytest.raises(ModelError, match="RAG_MODEL_URL"), remote_model(server, "other") as llm:
        llm.invoke("hello")


def test_no_server_is_one_line() -> None:
    with pytest.raises(ModelError, match="see that the server runs"), remote_model("http://127.0.0.1:9/v1", "x") as llm:
        llm.invoke("hello")


def test_tokens_are_overrated_rather_than_underrated() -> None:
    assert estimate_tokens([HumanMessage("four words of text")]) >= len("four words of text") / 4
