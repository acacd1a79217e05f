"""RAG_MODEL_URL against a real server: this program's own, with the packaged model."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from served import served

import chat_models
import ingestion
import pipeline
from chains.rag import ask
from errors import ModelError
from inference.remote_model import estimate_tokens, remote_model
from serving.library import Library
from settings import load_settings

NAME = "SmolLM2-135M-Instruct.Q4_1"
QUESTION = "How much water does the kettle Orion hold?"


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with ExitStack() as stack:
        yield Library(load_settings(context_tokens=1024, answer_style="brief", queue=1), stack)


@pytest.fixture(scope="module")
def server(library: Library) -> Iterator[str]:
    with served(library) as url:
        yield f"{url}/v1"


def test_a_question_is_answered_by_the_server_with_the_same_prompt_budget_and_check(
    server: str, library: Library, tmp_path: Path
) -> None:
    (tmp_path / "kettle.md").write_text("The kettle Orion holds 3 litres of water.\n")
    common = {"store": tmp_path / "store", "answer_style": "brief", "context_tokens": 1024}
    settings = load_settings(**common, model=NAME, model_url=server)
    ingestion.ingest(settings, [tmp_path / "kettle.md"])
    with pipeline.open_index(settings) as index:
        with pipeline.open_chain(settings, index) as chain:
            remote = ask(chain, QUESTION)
        local = ask(pipeline.build_chain(load_settings(**common), index, library.chat_model()), QUESTION)
    assert "3 litres" in remote.answer
    assert remote.answer == local.answer
    assert remote.usage == local.usage
    assert remote.usage["output_tokens"] > 0


def test_a_context_beyond_that_of_the_server_is_one_line(server: str) -> None:
    settings = load_settings(model=NAME, model_url=server, context_tokens=2048)
    with (
        pytest.raises(ModelError, match=r"2048 context tokens.*holds 1024.*Set RAG_CONTEXT_TOKENS to 1024"),
        chat_models.open_model(settings),
    ):
        pass


def test_a_model_that_the_server_does_not_know_is_one_line(server: str) -> None:
    with pytest.raises(ModelError, match="RAG_MODEL_URL"), remote_model(server, "other") as llm:
        llm.invoke("hello")


def test_no_server_is_one_line() -> None:
    settings = load_settings(model="x", model_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="see that the server runs"), chat_models.open_model(settings):
        pass


def test_a_busy_server_is_asked_again_when_it_said(server: str, library: Library) -> None:
    turns = library.chat_model().llm.engine.turns  # type: ignore[attr-defined]
    with remote_model(server, NAME, max_tokens=2) as llm, ThreadPoolExecutor(2) as pool:
        with turns.turn(1):
            waiting = pool.submit(llm.invoke, "hello")
            while not turns.waiting:
                time.sleep(0.01)
            second = pool.submit(llm.invoke, "hello")
            time.sleep(0.3)  # refused by now
        assert second.result(30).content == waiting.result(30).content


def test_a_server_that_goes_in_the_middle_of_an_answer_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def break_off() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                connection.sendall(head + b"40\r\ndata: ")

        threading.Thread(target=break_off).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with pytest.raises(ModelError, match="see that the server runs"), remote_model(url, "x") as llm:
            list(llm.stream("hello"))


def test_tokens_are_overrated_rather_than_underrated() -> None:
    assert estimate_tokens([HumanMessage("four words of text")]) >= len("four words of text") / 4
