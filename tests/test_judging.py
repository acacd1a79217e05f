"""The judge: schemas whose answers always fit, the packaged model and a server as judges, how far they are believed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from chat_models import ChatModel
from errors import EvaluationError, ModelError, SettingsError
from evaluation.bounded_schema import LONGEST_STRING, MOST_ITEMS, bounded, longest
from evaluation.calibration import agreement, calibrate, recall, remember
from evaluation.judging import Judge, JudgeFailure, PromptTooLong, open_judge, statements_in
from inference.chat_model import LlamaCppChat
from inference.remote_model import estimate_tokens
from settings import load_settings


class Verdict(BaseModel):
    reason: str
    verdict: int


class Verdicts(BaseModel):
    statements: list[Verdict]


def scripted(*answers: dict | str, context_tokens: int = 4096, cut: bool = False) -> Judge:
    """Return a judge that gives these answers in turn, and fails when it is asked once more."""
    texts = (answer if isinstance(answer, str) else json.dumps(answer) for answer in answers)
    about = {"finish_reason": "length" if cut else "stop"}
    messages = iter([AIMessage(text, response_metadata=about) for text in texts])
    model = ChatModel(GenericFakeChatModel(messages=messages), context_tokens, estimate_tokens, is_small=False)
    return Judge(model, name="scripted", key="0" * 64, weights=None)


def fullest(schema: dict[str, Any]) -> Any:
    """Return the largest value of a bounded schema."""
    match schema["type"]:
        case "object":
            return {name: fullest(value) for name, value in schema["properties"].items()}
        case "array":
            return [fullest(schema["items"])] * schema["maxItems"]
        case "string":
            return "x" * schema["maxLength"]
    return max(schema["enum"])


@pytest.mark.parametrize("room", [700, 1000, 3000, 100_000])
def test_the_longest_answer_in_a_bounded_schema_has_room(room: int) -> None:
    schema = bounded(Verdicts.model_json_schema(), room)
    text = json.dumps(fullest(schema))
    assert len(text) <= longest(schema) <= room
    assert len(Verdicts.model_validate_json(text).statements) == MOST_ITEMS


def test_strings_are_as_long_as_the_room_allows_and_no_longer_than_needed() -> None:
    one = bounded(Verdict.model_json_schema(), 200)
    assert longest(one) == 200
    assert bounded(Verdict.model_json_schema(), 10_000)["properties"]["reason"]["maxLength"] == LONGEST_STRING


def test_a_list_has_at_least_one_item_or_as_many_as_were_asked_about() -> None:
    free, fixed = (bounded(Verdicts.model_json_schema(), 3000, items=items) for items in (0, 3))
    assert [free["properties"]["statements"][key] for key in ("minItems", "maxItems")] == [1, MOST_ITEMS]
    assert [fixed["properties"]["statements"][key] for key in ("minItems", "maxItems")] == [3, 3]


def test_what_has_no_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        bounded(Verdicts.model_json_schema(), 100)
    with pytest.raises(ValueError, match="number"):
        bounded({"type": "object", "properties": {"score": {"type": "number"}}}, 1000)


def test_ragas_is_given_as_many_verdicts_as_it_has_statements() -> None:
    from ragas.metrics.collections.faithfulness.util import NLIStatementInput, NLIStatementPrompt
    from ragas.prompt.metrics.common import nli_statement_prompt, statement_generator_prompt

    claims = ['The kettle "Orion" holds 3 litres.', "It is blue."]
    assert statements_in(NLIStatementPrompt().to_string(NLIStatementInput(context="…", statements=claims))) == 2
    assert statements_in(nli_statement_prompt("…", claims)) == 2
    assert statements_in(statement_generator_prompt("What?", "That.")) == 0
    assert statements_in("a prompt of another kind") == 0


def test_ragas_tells_nobody_what_it_judges() -> None:
    from ragas._analytics import do_not_track

    assert do_not_track()


def test_the_packaged_model_can_not_answer_outside_the_schema(llm: LlamaCppChat) -> None:
    model = ChatModel(llm, llm.context_tokens, llm.get_num_tokens_from_messages, is_small=True)
    judge = Judge(model, name=llm.model_name, key="0" * 64, weights=llm.engine.parameters)
    assert judge.is_smoke_test
    little_room = "Write a very long story about the sea.\n" + "sea " * (llm.context_tokens - 520)
    answer = judge.generate(little_room, Verdicts)
    assert 1 <= len(answer.statements) <= MOST_ITEMS
    assert {statement.verdict for statement in answer.statements} <= {0, 1}
    with pytest.raises(PromptTooLong, match=r"tokens are left for the answer, of 1024"):
        judge.generate("sea " * 1000, Verdicts)


async def test_it_answers_inside_a_loop_too() -> None:
    said = {"reason": "It is there.", "verdict": 1}
    assert (await scripted(said).agenerate("?", Verdict)).verdict == 1


def test_an_answer_that_is_cut_twice_is_a_failure_not_a_guess() -> None:
    with pytest.raises(JudgeFailure, match="cut"):
        scripted('{"reason": "It', '{"reason": "', cut=True).generate("?", Verdict)


@pytest.mark.parametrize("said", ["no JSON at all", '{"verdict": 1}', '{"reason": "r", "verdict": "yes"}'])
def test_an_answer_of_a_server_that_keeps_to_no_schema_is_a_failure(said: str) -> None:
    with pytest.raises(JudgeFailure, match="not in the schema"):
        scripted(said).generate("?", Verdict)


def test_a_judge_that_is_not_named_is_one_line() -> None:
    with pytest.raises(SettingsError, match="RAG_JUDGE=local"), open_judge(load_settings()):
        pass


@pytest.fixture(scope="module")
def server(llm: LlamaCppChat) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve the packaged model as OpenAI does, without streaming; yield the address and what was asked."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(asked | {"key": self.headers["Authorization"]})
            if asked["model"] != "smol":
                self.send_error(404, "no such model")
                return
            wanted = {"type": "json_object", "schema": asked["response_format"]["json_schema"]["schema"]}
            text = asked["messages"][0]["content"]
            if text == "refuse":
                self.send_error(400, "no")
                return
            said = llm.invoke([HumanMessage(text)], response_format=wanted, max_tokens=200)
            message = {"role": "assistant", "content": said.content}
            choice = {"index": 0, "message": message, "finish_reason": "length" if text == "long" else "stop"}
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": "smol", "choices": [choice]}
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1", seen
        http.shutdown()


def test_a_server_judges_in_the_same_bounded_schema(server: tuple[str, list[dict[str, Any]]]) -> None:
    url, seen = server
    settings = load_settings(judge=url, judge_model="smol", judge_key="sesame", context_tokens=512)
    with open_judge(settings) as judge:
        answer = judge.generate("Is water wet?", Verdict)
        assert (judge.name, judge.weights, judge.is_smoke_test) == (f"smol at {url}", None, False)
        with pytest.raises(JudgeFailure, match="cut"):
            judge.generate("long", Verdict)
        with pytest.raises(JudgeFailure, match="refused"):
            judge.generate("refuse", Verdict)
    assert answer.verdict in (0, 1)
    asked = seen[0]
    assert (asked["key"], asked["temperature"]) == ("Bearer sesame", 0)
    properties = asked["response_format"]["json_schema"]["schema"]["properties"]
    assert properties["reason"]["maxLength"] <= LONGEST_STRING
    assert properties["verdict"] == {"type": "integer", "enum": [0, 1]}


def test_a_server_that_does_not_know_the_judge_is_one_line(server: tuple[str, list[dict[str, Any]]]) -> None:
    settings = load_settings(judge=server[0], judge_model="other")
    with pytest.raises(ModelError, match="RAG_JUDGE_MODEL"), open_judge(settings) as judge:
        judge.generate("?", Verdict)


def test_agreement_is_the_one_computed_by_hand() -> None:
    # yes: 3 of 4 seen; no: 1 of 2 seen. Agreed: 4 of 6; by chance (4·4 + 2·2) / 36 = 20 / 36.
    said, labels = [True, True, True, False, True, False], [True, True, True, True, False, False]
    assert agreement(said, labels) == {"balanced_accuracy": 0.625, "kappa": 0.25}
    assert agreement([True, False], [True, False]) == {"balanced_accuracy": 1.0, "kappa": 1.0}
    assert agreement([True], [True]) == {"balanced_accuracy": None, "kappa": None}


def verdict(flag: int) -> dict[str, Any]:
    return {"statements": [{"statement": "s", "reason": "r", "verdict": flag}]}


def test_a_judge_is_calibrated_on_labelled_claims_and_remembered(tmp_path: Path) -> None:
    labels = ["supported", "partially_supported", "not_supported", "SUPPORT"]
    rows = [{"claim": "c", "evidence": ["a", "b"], "label": label} for label in labels]
    claims = tmp_path / "wice" / "claims.jsonl"
    claims.parent.mkdir()
    claims.write_text("\n".join(map(json.dumps, rows)))
    judge = scripted(verdict(1), verdict(1), verdict(0), verdict(1))
    assert recall(tmp_path, judge) is None
    found = calibrate(judge, claims)
    assert found["claims"] == "wice/claims.jsonl"
    assert (found["scored"], found["of"], found["trimmed"], found["failures"]) == (4, 4, 0, {})
    assert (found["balanced_accuracy"], found["kappa"]) == (0.75, 0.5)
    remember(tmp_path, judge, found)
    assert recall(tmp_path, judge) == {"judge": "scripted", **found}


def test_evidence_that_does_not_fit_is_cut_and_counted(tmp_path: Path) -> None:
    claims = tmp_path / "claims.jsonl"
    claims.write_text(json.dumps({"claim": "c", "evidence": ["word " * 40] * 200, "label": "supported"}))
    found = calibrate(scripted(verdict(1), context_tokens=2500), claims)
    assert (found["scored"], found["trimmed"]) == (1, 1)


def test_claims_of_another_shape_are_one_line(tmp_path: Path) -> None:
    claims = tmp_path / "claims.jsonl"
    claims.write_text('{"claim": "c", "label": "supported"}\n')
    with pytest.raises(EvaluationError, match=r"row 1: .*evidence"):
        calibrate(scripted(), claims)
