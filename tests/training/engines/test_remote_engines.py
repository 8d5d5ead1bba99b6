"""Engines behind a network, by the real SDKs, against servers here that misbehave on purpose."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from training.engines import EngineSpec, create_engine
from training.engines.base import EngineError, Request, Sampling
from training.engines.gemini import GeminiEngine
from training.engines.openai_compatible import OpenAICompatibleEngine

Answer = tuple[int, dict[str, str], bytes]
QUICK = {"attempts": 4, "base_delay": 0.001, "max_delay": 0.01}
SAMPLING = Sampling(0.5, 0.9, 16)


class Provider:
    """A server whose answer to the n-th request about a text is decided by the test."""

    def __init__(self, answer: Callable[[str, int], Answer | None]) -> None:
        self.seen: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.running = self.most_at_once = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                text = (
                    body["messages"][-1]["content"] if "messages" in body else body["contents"][-1]["parts"][0]["text"]
                )
                with provider.lock:
                    provider.seen[text] += 1
                    provider.bodies.append(body)
                    number = provider.seen[text]
                    provider.running += 1
                    provider.most_at_once = max(provider.most_at_once, provider.running)
                reply = answer(text, number)
                with provider.lock:
                    provider.running -= 1
                if reply is None:  # a dropped connection
                    self.close_connection = True
                    self.connection.close()
                    return
                status, headers, content = reply
                self.send_response(status)
                for name, value in ({"content-type": "application/json"} | headers).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def provider() -> Iterator[Callable[[Callable[[str, int], Answer | None]], Provider]]:
    started: list[Provider] = []

    def start(answer: Callable[[str, int], Answer | None]) -> Provider:
        started.append(Provider(answer))
        return started[-1]

    yield start
    for one in started:
        one.server.shutdown()
        one.server.server_close()


def _json(data: Any, status: int = 200, **headers: str) -> Answer:
    return status, headers, json.dumps(data).encode()


def _chat(text: str, reason: str = "stop") -> Answer:
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
    return _json(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    )


def _candidate(text: str, reason: str = "STOP") -> Answer:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": reason}
    return _json({"candidates": [candidate], "usageMetadata": {"candidatesTokenCount": 7}})


def _requests(*texts: str) -> list[Request]:
    return [Request(text, ({"role": "user", "content": text},), seed) for seed, text in enumerate(texts)]


def _troubled(good: Callable[[str], Answer]) -> Callable[[str, int], Answer | None]:
    """Fails each text twice in its own way, then answers."""

    def answer(text: str, number: int) -> Answer | None:
        if number > 2 or text == "well":
            return good(text)
        return {
            "busy": _json({"error": {"message": "slow down", "code": 429, "status": "RESOURCE_EXHAUSTED"}}, 429,
                          **{"retry-after": "0"}),
            "broken": _json({"error": {"message": "oops", "code": 500, "status": "INTERNAL"}}, 500),
            "away": _json({"error": {"message": "away", "code": 503, "status": "UNAVAILABLE"}}, 503),
            "dropped": None,
            "malformed": (200, {}, b'{"candidates": [{"content"'),
            "empty": _json({"candidates": [], "choices": []}),
        }[text]  # fmt: skip

    return answer


TROUBLES = ("well", "busy", "broken", "away", "dropped", "malformed", "empty")


def test_an_openai_server_that_fails_in_every_way_loses_nothing(provider: Any) -> None:
    server = provider(_troubled(lambda text: _chat(f"re: {text}")))
    engine = OpenAICompatibleEngine("m", server.address + "/v1", concurrency=3, **QUICK)
    found = {completion.key: completion for completion in engine.generate(_requests(*TROUBLES), SAMPLING)}
    assert {key: completion.text for key, completion in found.items()} == {text: f"re: {text}" for text in TROUBLES}
    assert all(completion.token_count == 7 and completion.finish_reason == "stop" for completion in found.values())
    assert server.most_at_once <= 3
    assert {body["seed"] for body in server.bodies} == set(range(len(TROUBLES)))
    assert server.bodies[0]["max_tokens"] == 16
    engine.close()


def test_gemini_that_fails_in_every_way_loses_nothing(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "a-key")
    server = provider(_troubled(lambda text: _candidate(f"re: {text}")))
    engine = GeminiEngine("gemini-x", base_url=server.address, concurrency=3, **QUICK)
    found = {completion.key: completion for completion in engine.generate(_requests(*TROUBLES), SAMPLING)}
    assert {key: completion.text for key, completion in found.items()} == {text: f"re: {text}" for text in TROUBLES}
    assert server.most_at_once <= 3
    assert server.bodies[0]["generationConfig"]["maxOutputTokens"] == 16
    engine.close()


def test_what_never_comes_is_an_error_completion_and_no_score(provider: Any) -> None:
    server = provider(lambda text, _: _json({"error": {"message": "oops"}}, 500) if text == "bad" else _chat("fine"))
    engine = OpenAICompatibleEngine("m", server.address + "/v1", **QUICK)
    found = {completion.key: completion for completion in engine.generate(_requests("bad", "good"), SAMPLING)}
    assert found["good"].text == "fine"
    assert (found["bad"].text, found["bad"].finish_reason) == ("", "error")
    assert "asked 4 times" in found["bad"].error
    assert not found["bad"].refused  # it may answer later
    engine.close()


def test_an_answer_that_is_empty_each_time_counts_as_a_refusal(provider: Any) -> None:
    server = provider(lambda text, _: _chat("", "length"))
    engine = OpenAICompatibleEngine("m", server.address + "/v1", **QUICK)
    (found,) = engine.generate(_requests("a"), SAMPLING)
    assert (found.finish_reason, found.refused) == ("error", True)
    engine.close()


def test_a_safety_block_is_an_error_completion_and_is_not_asked_again(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "a-key")
    blocked = {"prompt": _json({"promptFeedback": {"blockReason": "SAFETY"}}), "answer": _candidate("", "SAFETY")}
    server = provider(lambda text, _: blocked[text])
    engine = GeminiEngine("gemini-x", base_url=server.address, **QUICK)
    found = list(engine.generate(_requests("prompt", "answer"), SAMPLING))
    assert all("SAFETY" in completion.error for completion in found)
    assert server.seen == {"prompt": 1, "answer": 1}
    engine.close()


def test_a_cut_answer_says_that_it_was_cut(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "a-key")
    server = provider(lambda text, _: _candidate("half", "MAX_TOKENS"))
    engine = GeminiEngine("gemini-x", base_url=server.address, **QUICK)
    assert next(iter(engine.generate(_requests("a"), SAMPLING))).finish_reason == "length"
    engine.close()
    chat = provider(lambda text, _: _chat("half", "length"))
    other = OpenAICompatibleEngine("m", chat.address + "/v1", **QUICK)
    assert next(iter(other.generate(_requests("a"), SAMPLING))).finish_reason == "length"
    other.close()


@pytest.mark.parametrize(("status", "said"), [(401, "OPENAI_API_KEY"), (404, "Check name and address")])
def test_a_bad_key_or_model_ends_the_generation_with_the_remedy(provider: Any, status: int, said: str) -> None:
    server = provider(lambda *_: _json({"error": {"message": "no"}}, status))
    engine = OpenAICompatibleEngine("m", server.address + "/v1", **QUICK)
    with pytest.raises(EngineError, match=said):
        list(engine.generate(_requests("a", "b"), SAMPLING))
    engine.close()


def test_a_key_is_never_part_of_an_error(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "secret-key-1234")
    answer = _json({"error": {"message": "API key not valid", "code": 400, "status": "INVALID_ARGUMENT"}}, 400)
    server = provider(lambda *_: answer)
    engine = GeminiEngine("gemini-x", base_url=server.address, **QUICK)
    with pytest.raises(EngineError, match="GEMINI_API_KEY") as caught:
        list(engine.generate(_requests("a"), SAMPLING))
    assert "secret-key-1234" not in str(caught.value)
    engine.close()


def test_gemini_without_a_key_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    with pytest.raises(EngineError, match="GEMINI_API_KEY"):
        create_engine(EngineSpec("gemini", "gemini-x"))


def test_an_abandoned_generation_asks_for_no_more(provider: Any) -> None:
    server = provider(lambda text, _: _chat("fine"))
    engine = OpenAICompatibleEngine("m", server.address + "/v1", concurrency=2, **QUICK)
    completions = engine.generate(_requests(*(f"text {n}" for n in range(50))), SAMPLING)
    next(iter(completions))
    completions.close()  # type: ignore[attr-defined]
    assert sum(server.seen.values()) <= 6
    engine.close()
