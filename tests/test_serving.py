"""The server as its clients meet it: a real one over a real index, with the packaged model shortening sentences."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from served import held, served

import ingestion
from chains.answers import Answer
from chains.rag import ask
from errors import SettingsError
from serving.guard import check_host
from serving.library import Library, open_library
from settings import ROOT, Settings, load_settings

KETTLES = {name: n for n, name in enumerate(("Orion", "Vega", "Lyra", "Draco", "Cygnus", "Aquila", "Hydra", "Pavo"), 3)}
BARE = "SmolLM2-135M-Instruct.Q4_1"
STORY = {"model": BARE, "messages": [{"role": "user", "content": "Write a very long story about the sea."}]}
JSON = {"Content-Type": "application/json"}


def question(name: str) -> str:
    return f"How many litres of water does the kettle {name} hold?"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("serving")
    for name, litres in KETTLES.items():
        (folder / f"{name}.md").write_text(f"# {name}\n\nThe kettle {name} holds {litres} litres of water.\n")
    small = {"context_tokens": 1024, "max_answer_tokens": 32, "queue": 8, "workers": 1}
    settings = load_settings(store=folder / "store", answer_style="brief", adapter="off", answer_cache=False, **small)
    ingestion.ingest(settings, [*folder.glob("*.md")])
    return settings


@pytest.fixture(scope="module")
def library(settings: Settings) -> Iterator[Library]:
    with open_library(settings) as library:
        yield library


@pytest.fixture(scope="module")
def url(library: Library) -> Iterator[str]:
    with served(library) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def openai(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def events(response: httpx.Response) -> Iterator[Any]:
    lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    yield from (json.loads(line.removeprefix("data: ")) for line in lines[:-1])


def comes_true(condition: Callable[[], bool], within_s: float) -> bool:
    until = time.monotonic() + within_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    return condition()


def refused(response: httpx.Response, status: int, *words: str) -> None:
    assert response.status_code == status
    message = response.json()["error"]["message"]
    assert "\n" not in message
    assert all(word in message for word in words), message


# what is answered


def test_a_question_gets_what_ask_prints(client: httpx.Client, library: Library) -> None:
    response = client.post("/v1/ask", json={"question": question("Orion")})
    answer = response.json()
    assert response.headers["Cache-Control"] == "no-store"
    assert "3 litres" in answer["answer"]
    assert library.opened
    alone = json.loads(json.dumps(asdict(ask(library.opened.chains[None], question("Orion")))))
    varying = ("timings", "usage")
    assert {k: v for k, v in answer.items() if k not in varying} == {k: v for k, v in alone.items() if k not in varying}
    assert answer["timings"].keys() == alone["timings"].keys()
    assert answer["usage"] == alone["usage"]


def test_a_stream_brings_the_draft_and_then_the_answer(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/ask", json={"question": question("Vega"), "stream": True}) as response:
        *drafts, last = events(response)
    assert len(drafts) > 1
    assert "4 litres" in last["answer"]["answer"]
    assert last["answer"].keys() == Answer.__dataclass_fields__.keys()


def test_what_was_asked_before_is_answered_from_memory(settings: Settings, library: Library) -> None:
    remembers = settings.model_copy(update={"answer_cache": True})
    with served(Library(remembers, library.stack, library.model, library.opened)) as url:
        first, again = (httpx.post(f"{url}/v1/ask", json={"question": question("Lyra")}).json() for _ in range(2))
    assert (first["cached"], again["cached"]) == (False, True)
    assert first["answer"] == again["answer"]


def test_history_and_filter_reach_the_chain(client: httpx.Client) -> None:
    history = [{"question": question("Lyra"), "answer": "It holds 5 litres of water."}]
    followed = client.post("/v1/ask", json={"question": "And Draco?", "history": history}).json()
    assert "6 litres" in followed["answer"]
    elsewhere = client.post("/v1/ask", json={"question": question("Lyra"), "filter": {"source": ["Pavo.md"]}}).json()
    assert {Path(source["source"]).name for source in elsewhere["sources"]} == {"Pavo.md"}


def test_an_openai_client_asks_the_documents(openai: OpenAI) -> None:
    earlier = "It holds 5 litres of water. [1]\n\nSources:\n[1] Lyra.md"
    messages: list[Any] = [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": question("Lyra")},
        {"role": "assistant", "content": earlier},
        {"role": "user", "content": [{"type": "text", "text": "And Hydra?"}]},
    ]
    reply: Any = openai.chat.completions.create(model="groundwork", messages=messages)
    text = reply.choices[0].message.content
    assert "9 litres" in text
    assert re.search(r"\[1\] \S+Hydra\.md", text)
    assert 1 in reply.groundwork["cited"]
    assert reply.usage.completion_tokens > 0
    stream: Any = openai.chat.completions.create(model="groundwork", messages=messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == text


def test_an_openai_client_asks_the_bare_model(openai: OpenAI, library: Library) -> None:
    assert [model.id for model in openai.models.list()] == ["groundwork", BARE]
    asked: Any = {"model": BARE, "messages": [{"role": "user", "content": "Explain gravity."}], "max_tokens": 12}
    reply = openai.chat.completions.create(**asked)
    assert library.model
    alone = library.model.llm.invoke("Explain gravity.", max_tokens=12)
    assert reply.choices[0].message.content == alone.content
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage and alone.usage_metadata  # type: ignore[attr-defined]
    assert reply.usage.prompt_tokens == alone.usage_metadata["input_tokens"]  # type: ignore[attr-defined]
    stream: Any = openai.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == alone.content
    assert chunks[-1].usage == reply.usage
    stopped = openai.chat.completions.create(**asked, stop=["Gra"])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("", "stop")


def test_the_bare_model_keeps_to_a_json_schema(openai: OpenAI) -> None:
    schema = {"type": "object", "properties": {"blue": {"type": "boolean"}}, "required": ["blue"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "colour", "schema": schema}}
    messages: Any = [{"role": "user", "content": "Is the sky blue? Answer as JSON."}]
    reply = openai.chat.completions.create(model=BARE, messages=messages, response_format=form, max_tokens=30)
    assert isinstance(json.loads(reply.choices[0].message.content or "")["blue"], bool)


def test_eight_at_once_get_their_own_answers(client: httpx.Client) -> None:
    def answer(name: str) -> dict[str, Any]:
        body = {"question": question(name), "conversation": name}
        return dict(client.post("/v1/ask", json=body).json())

    with ThreadPoolExecutor(8) as pool:
        for (name, litres), told in zip(KETTLES.items(), pool.map(answer, KETTLES), strict=True):
            assert told["question"] == question(name)
            assert f"{litres} litres" in told["answer"]


# who leaves, and who has to wait


def test_who_leaves_frees_the_model_within_a_token(client: httpx.Client, library: Library) -> None:
    assert library.model
    turns = library.model.llm.engine.turns  # type: ignore[attr-defined]
    with client.stream("POST", "/v1/chat/completions", json=STORY | {"stream": True, "max_tokens": 900}) as response:
        next(response.iter_lines())
        assert turns.running
    assert comes_true(lambda: not turns.running, 1.0)


def test_who_leaves_the_queue_is_not_waited_for(url: str, library: Library) -> None:
    assert library.model
    turns = library.model.llm.engine.turns  # type: ignore[attr-defined]
    question_alone = {"question": question("Orion")}
    with held(turns):
        for path, body in (("chat/completions", STORY), ("ask", question_alone)):
            leaving = HTTPConnection(url.removeprefix("http://"))
            leaving.request("POST", f"/v1/{path}", json.dumps(body), JSON)
            assert comes_true(lambda: any(not job.cancelled for job in turns.waiting), 20)
            leaving.close()
            assert comes_true(lambda: all(job.cancelled for job in turns.waiting), 1)


def test_a_full_queue_says_when_to_come_again(client: httpx.Client, library: Library) -> None:
    assert library.model
    turns = library.model.llm.engine.turns  # type: ignore[attr-defined]
    with ThreadPoolExecutor(8) as pool, held(turns):
        post = partial(client.post, "/v1/chat/completions", json=STORY | {"max_tokens": 1})
        waiting = [pool.submit(post) for _ in range(8)]
        assert comes_true(lambda: len(turns.waiting) == 8, 10)
        for path, body in (
            ("chat/completions", STORY | {"stream": True}),
            ("ask", {"question": question("Vega"), "stream": True}),
        ):
            full = client.post(f"/v1/{path}", json=body)
            refused(full, 503, "wait")
            assert int(full.headers["Retry-After"]) >= 1
    assert {each.result().status_code for each in waiting} == {200}


# what is refused


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ("question",)),
        ({"question": " "}, ("empty",)),
        ({"question": "x" * 5000}, ("4000 are allowed",)),
        ({"question": "x", "histroy": []}, ("histroy",)),
        ({"question": "x", "filter": {"since": "soon"}}, ("soon",)),
        ({"question": "x", "history": [{"question": 1}]}, ("history.0.question",)),
    ],
)
def test_a_question_that_can_t_be_asked_is_one_line(body: Any, words: tuple[str, ...], client: httpx.Client) -> None:
    refused(client.post("/v1/ask", json=body), 400, *words)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"model": "gpt"}, 404, ("gpt", BARE)),
        ({"tools": [{}]}, 400, ("tools",)),
        ({"n": 2}, 400, ("n",)),
        ({"temperature": 3}, 400, ("temperature",)),
        ({"max_tokens": 5000}, 400, ("5000", "1024")),
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, 400, ("1024",)),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, ("messages.0.content",)),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "http://x"}}}},
            400,
            ("schema",),
        ),
        ({"model": "groundwork", "messages": [{"role": "assistant", "content": "x"}]}, 400, ("last message",)),
    ],
)
def test_a_completion_that_can_t_be_made_is_one_line(
    change: Any, status: int, words: tuple[str, ...], client: httpx.Client
) -> None:
    refused(client.post("/v1/chat/completions", json=STORY | change), status, *words)
    refused(client.post("/v1/chat/completions", json=STORY | change | {"stream": True}), status, *words)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Authorization": "Bearer whatever"}, 200),
        ({"Host": "localhost:80", "Origin": "http://localhost:80"}, 200),
    ],
)
def test_web_pages_from_elsewhere_are_refused(headers: dict[str, str], status: int, client: httpx.Client) -> None:
    body = json.dumps({"question": question("Pavo")})
    response = client.post("/v1/ask", content=body, headers=JSON | headers)
    assert response.status_code == status
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"


def test_a_body_has_bounds(client: httpx.Client) -> None:
    refused(client.post("/v1/ask", content=b"{", headers=JSON), 400)
    refused(client.post("/v1/ask", content=(b" " * 100_000 for _ in range(11)), headers=JSON), 413)
    refused(client.get("/v1/ask"), 405)
    refused(client.get("/v1/nothing"), 404)
    assert client.get("/health").json() == {"status": "ok"}


def test_a_key_is_asked_for(settings: Settings, library: Library) -> None:
    locked = load_settings(**(settings.model_dump() | {"server_key": "clef"}))
    with (
        served(Library(locked, library.stack)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert client.get("/health").status_code == 200
        for headers in (
            {},
            {"Authorization": "Bearer cle"},
            {"Authorization": "Basic clef"},
            {"Authorization": "Bearer ü".encode()},
        ):
            refused(client.get("/v1/models", headers=headers), 401, "RAG_SERVER_KEY")
        known = {"Authorization": "Bearer clef", "Host": "groundwork.example"}
        assert client.get("/v1/models", headers=known).status_code == 200


def test_an_open_address_needs_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        with pytest.raises(SettingsError, match="RAG_SERVER_KEY"):
            check_host(host, "")
        check_host(host, "clef")
    for host in ("localhost", "127.0.0.1", "::1", "127.8.8.8"):
        check_host(host, "")


# an index that changes


def test_a_change_and_a_rebuild_get_the_index_and_are_taken_up(
    client: httpx.Client, settings: Settings, library: Library
) -> None:
    def litres() -> str:
        reply = client.post("/v1/ask", json={"question": question("Orion")})
        return str(reply.json().get("answer", reply.status_code))

    path = settings.store.parent / "Orion.md"
    assert "3 litres" in litres()
    ingestion.remove(settings, str(path))
    assert "3 litres" not in litres()
    path.write_text(path.read_text().replace("3 litres", "23 litres"))
    ingestion.ingest(settings, [path, settings.store.parent / "Hydra.md"], rebuild=True)
    assert comes_true(lambda: "23 litres" in litres(), 10)


# the command


def test_the_command_answers_until_ctrl_c(settings: Settings) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAG_")} | {
        "RAG_STORE": str(settings.store),
        "RAG_ADAPTER": "off",
    }
    with subprocess.Popen(
        [sys.executable, "main.py", "serve", "--port", "0"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as run:
        assert run.stderr
        line = run.stderr.readline()
        reply = httpx.post(line.split()[2] + "/ask", json={"question": question("Hydra")}, timeout=60)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert "9 litres" in reply.json()["answer"]
    assert (run.returncode, out, err) == (0, "", "")
