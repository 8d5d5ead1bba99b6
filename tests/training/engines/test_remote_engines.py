"""Engines behind a network, by the real SDKs, against servers here that misbehave on purpose."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.providers import (
    GEMINI_TROUBLES,
    OPENAI_TROUBLES,
    Answer,
    Provider,
    Reply,
    as_json,
    candidate,
    chat,
)
from training.config import RunConfig
from training.domain.secret import Secret
from training.domain.spending import Usage
from training.engines import EngineSpec, create_engine, student_spec
from training.engines.base import BudgetReached, Completion, EngineError, Request, Sampling, Unanswered
from training.engines.gemini import CATEGORIES, GeminiEngine
from training.engines.metering import Call
from training.engines.openai_compatible import OpenAICompatibleEngine
from training.engines.remote import RemoteEngine, seconds_asked

QUICK = {"attempts": 4, "base_delay": 0.001, "max_delay": 0.01}
SAMPLING = Sampling(0.5, 0.9, 16)
KEY = Secret("secret-key-1234")
Serve = Callable[[Callable[[str, int], Reply]], Provider]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Provider] = []

    def start(answer: Callable[[str, int], Reply]) -> Provider:
        started.append(Provider(lambda text, number, _: answer(text, number)))
        return started[-1]

    yield start
    for one in started:
        one.close()


def gemini(server: Provider, **more: Any) -> GeminiEngine:
    return GeminiEngine("gemini-x", key=KEY, base_url=server.address, **(QUICK | more))


def openai(server: Provider, **more: Any) -> OpenAICompatibleEngine:
    return OpenAICompatibleEngine("m", server.address + "/v1", **(QUICK | more))


def requests(*texts: str) -> list[Request]:
    return [Request(text, ({"role": "user", "content": text},), seed) for seed, text in enumerate(texts)]


class Tally:
    """A meter that writes everything down."""

    def __init__(self, tokens: int = 10**9) -> None:
        self.tokens, self.reserved, self.calls = tokens, 0, list[Call]()
        self.before: dict[str, Completion] = {}

    def known(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        return [self.before[request.key] for request in requests if request.key in self.before]

    def reserve(self, request: Request, worst: Usage) -> bool:
        if sum(call.usage.tokens for call in self.calls) + self.reserved + worst.tokens > self.tokens:
            return False
        self.reserved += worst.tokens
        return True

    def settle(self, call: Call, worst: Usage) -> None:
        self.reserved -= worst.tokens
        self.calls.append(call)

    def spent_reason(self) -> str:
        return "nothing is left"


@pytest.mark.parametrize(
    ("engine_of", "troubles", "good"), [(gemini, GEMINI_TROUBLES, candidate), (openai, OPENAI_TROUBLES, chat)]
)
def test_a_provider_that_fails_twice_in_every_way_loses_nothing(
    serve: Serve, engine_of: Callable[..., RemoteEngine], troubles: dict[str, Reply], good: Callable[[str], Answer]
) -> None:
    server = serve(lambda text, number: good(f"re: {text}") if number > 2 else troubles[text])
    engine = engine_of(server, concurrency=3, timeout=1)
    engine.meter = tally = Tally()
    found = {completion.key: completion for completion in engine.generate(requests(*troubles), SAMPLING)}
    engine.close()
    assert {key: completion.text for key, completion in found.items()} == {text: f"re: {text}" for text in troubles}
    assert all(completion.finish_reason == "stop" for completion in found.values())
    assert server.most_at_once <= 3
    assert {server.seen[text] for text in troubles} == {3}
    assert tally.reserved == 0
    assert len(tally.calls) == 3 * len(troubles)


def test_a_students_server_has_as_many_requests_in_flight_as_the_engine_generates_together(serve: Serve) -> None:
    together = threading.Barrier(6)  # nobody is answered before six ask

    def answer(text: str, number: int) -> Answer:
        together.wait(timeout=20)
        return chat(text)

    server = serve(answer)
    config = RunConfig.parse(
        {
            "name": "a run",
            "paradigm": "self_reward",
            "student": {"model": "m"},
            "engine": {"kind": "openai_compatible", "base_url": server.address + "/v1", "batch_size": 6},
            "sft": {"enabled": False},
            "prompts": {"dataset": "train"},
            "evaluation": {"enabled": False},
        }
    )
    engine = create_engine(student_spec(config, "m"))
    found = list(engine.generate(requests(*(str(number) for number in range(12))), SAMPLING))
    engine.close()
    assert len(found) == 12
    assert all(completion.finish_reason == "stop" for completion in found)
    assert server.most_at_once == 6


def test_what_is_asked_carries_limit_seed_system_text_and_safety_settings(serve: Serve) -> None:
    server = serve(lambda text, _: candidate("fine"))
    engine = gemini(server, system="Be strict.", safety="block_only_high")
    list(engine.generate(requests("a"), SAMPLING))
    (body,) = server.bodies
    assert body["generationConfig"] == {"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 16, "seed": 0}
    assert body["systemInstruction"]["parts"] == [{"text": "Be strict."}]
    assert {setting["category"]: setting["threshold"] for setting in body["safetySettings"]} == dict.fromkeys(
        CATEGORIES, "BLOCK_ONLY_HIGH"
    )
    engine.close()
    other = serve(lambda text, _: chat("fine"))
    engine_two = openai(other, system="Be strict.")
    list(engine_two.generate(requests("a"), SAMPLING))
    assert other.bodies[0]["messages"][0] == {"role": "system", "content": "Be strict."}
    assert (other.bodies[0]["max_tokens"], other.bodies[0]["seed"]) == (16, 0)
    engine_two.close()


def test_what_never_comes_is_an_error_completion_and_no_score(serve: Serve) -> None:
    server = serve(lambda text, _: OPENAI_TROUBLES["500"] if text == "bad" else chat("fine"))
    engine = openai(server)
    found = {completion.key: completion for completion in engine.generate(requests("bad", "good"), SAMPLING)}
    assert found["good"].text == "fine"
    assert (found["bad"].text, found["bad"].finish_reason) == ("", "error")
    assert "asked 4 times" in found["bad"].error
    assert not found["bad"].refused  # it may answer later
    engine.close()


def test_an_answer_that_is_empty_each_time_counts_as_a_refusal(serve: Serve) -> None:
    engine = openai(serve(lambda text, _: chat("", "length")))
    (found,) = engine.generate(requests("a"), SAMPLING)
    assert (found.finish_reason, found.refused) == ("error", True)
    engine.close()


def test_a_lasting_safety_block_is_a_refusal_after_three_tries(serve: Serve) -> None:
    server = serve(lambda text, _: GEMINI_TROUBLES[text])
    engine = gemini(server)
    found = list(engine.generate(requests("blocked prompt", "blocked answer"), SAMPLING))
    assert all("SAFETY" in completion.error and completion.refused for completion in found)
    assert server.seen["blocked prompt"] == server.seen["blocked answer"] == 3
    engine.close()


def test_a_request_that_the_provider_calls_wrong_is_asked_once(serve: Serve) -> None:
    server = serve(lambda text, _: as_json({"error": {"message": "bad field", "code": 400}}, 400))
    for engine in (gemini(server), openai(server)):
        (found,) = engine.generate(requests(engine.name), SAMPLING)
        assert found.refused
        assert "bad field" in found.error
        assert server.seen[engine.name] == 1
        engine.close()


def test_a_cut_answer_says_that_it_was_cut(serve: Serve) -> None:
    for engine in (
        gemini(serve(lambda text, _: candidate("half", "MAX_TOKENS"))),
        openai(serve(lambda text, _: chat("half", "length"))),
    ):
        assert next(iter(engine.generate(requests("a"), SAMPLING))).finish_reason == "length"
        engine.close()


def test_a_retry_after_holds_everybody_back_and_is_never_cut_short(serve: Serve) -> None:
    busy = as_json({"error": {"message": "slow down"}}, 429, **{"retry-after": "0.6"})
    server = serve(lambda text, number: busy if (text, number) == ("a", 1) else chat("fine"))
    engine = openai(server, concurrency=1)  # its own longest delay is 10 ms
    assert len(list(engine.generate(requests("a", "b"), SAMPLING))) == 2
    assert server.times[1] - server.times[0] >= 0.6
    engine.close()


def test_a_retry_after_is_read_as_number_duration_and_date() -> None:
    assert seconds_asked("12") == 12
    assert seconds_asked("0.5s") == 0.5
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 < (seconds_asked(format_datetime(soon, usegmt=True)) or 0) <= 90
    assert seconds_asked(format_datetime(soon - timedelta(hours=1), usegmt=True)) == 0
    assert seconds_asked("soon") is None
    assert seconds_asked(None) is None


def test_a_wait_of_hours_ends_the_generation_with_the_reason(serve: Serve) -> None:
    away = as_json({"error": {"message": "daily quota", "code": 429}}, 429, **{"retry-after": "7200"})
    for engine in (gemini(serve(lambda *_: away)), openai(serve(lambda *_: away))):
        with pytest.raises(Unanswered, match="asks to wait 7200 seconds"):
            list(engine.generate(requests("a", "b"), SAMPLING))
        engine.close()


def test_a_used_up_quota_ends_the_generation_and_what_came_is_kept(serve: Serve) -> None:
    quota = as_json({"error": {"message": "no more", "code": "insufficient_quota", "type": "insufficient_quota"}}, 429)
    server = serve(lambda text, _: quota if text == "c" else chat("fine"))
    engine = openai(server, concurrency=1)
    came = []
    with pytest.raises(Unanswered, match="quota is used up"):
        came.extend(completion.key for completion in engine.generate(requests("a", "b", "c", "d"), SAMPLING))
    assert server.seen["c"] == 1
    assert server.seen["d"] == 0
    engine.close()


def test_delays_grow_and_differ() -> None:
    class Nobody(RemoteEngine):
        def ask(self, request: Request, sampling: Sampling) -> Any: ...
        def close(self) -> None: ...

    engine = Nobody(base_delay=1, max_delay=60)
    for tries in range(1, 6):
        drawn = [engine.delay(tries, None) for _ in range(200)]
        assert 0.5 * 2 ** (tries - 1) <= min(drawn) < max(drawn) <= 1.5 * 2 ** (tries - 1)
        assert len(set(drawn)) > 100
    assert max(engine.delay(20, None) for _ in range(50)) == 60
    assert engine.delay(1, 300) == 300


def test_the_providers_own_count_is_told_and_what_was_lost_counts_at_its_worst(serve: Serve) -> None:
    way = {1: GEMINI_TROUBLES["dropped"], 2: GEMINI_TROUBLES["no candidate"], 3: GEMINI_TROUBLES["503"]}
    engine = gemini(
        serve(lambda text, number: way.get(number) or candidate("fine", prompt=9, completion=4, thoughts=3))
    )
    engine.meter = tally = Tally()
    list(engine.generate(requests("four"), SAMPLING))
    assert [call.outcome for call in tally.calls] == ["lost", "empty", "failed", "answered"]
    assert tally.calls[0].usage == Usage(4 + 32, 16)
    assert [call.usage for call in tally.calls[1:]] == [Usage(5, 0), Usage(), Usage(9, 7)]
    engine.close()


def test_a_budget_is_never_passed_and_all_that_fits_is_asked(serve: Serve) -> None:
    server = serve(lambda text, _: chat("fine", prompt=20, completion=16))
    engine = openai(server, concurrency=8)
    engine.meter = tally = Tally(tokens=400)  # the worst case of a request is 1 + 32 + 16 tokens
    came = []

    def draw() -> None:
        for completion in engine.generate(requests(*"abcdefghijklmnopqrst"), SAMPLING):
            came.append(completion.key)
            assert sum(call.usage.tokens for call in tally.calls) + tally.reserved <= 400

    with pytest.raises(BudgetReached, match="nothing is left"):
        draw()
    used = sum(call.usage.tokens for call in tally.calls)
    assert used == 36 * len(came)
    assert 400 - 49 < used <= 400
    assert tally.reserved == 0
    engine.close()


@pytest.mark.parametrize(("status", "said"), [(401, "OPENAI_API_KEY"), (404, "Check name and address")])
def test_a_bad_key_or_model_ends_the_generation_with_the_remedy(serve: Serve, status: int, said: str) -> None:
    engine = openai(serve(lambda *_: as_json({"error": {"message": "no"}}, status)))
    with pytest.raises(EngineError, match=said):
        list(engine.generate(requests("a", "b"), SAMPLING))
    engine.close()


def test_a_key_is_never_part_of_an_error_or_an_answer(serve: Serve) -> None:
    plain = KEY.reveal()
    repeats = {
        "refused": as_json({"error": {"message": f"API key not valid: {plain}", "code": 400}}, 400),
        "busy": as_json({"error": {"message": f"slow down, {plain}", "code": 429}}, 429),
        "wrong": as_json({"error": {"message": f"odd header {plain}", "code": 422}}, 422),
        "malformed": (200, {}, json.dumps({"candidates": plain, "choices": plain}).encode()),
    }
    for engine_of, good in ((gemini, candidate), (openai, chat)):
        for text in (*repeats, "good"):
            server = serve(lambda text, _, good=good: repeats.get(text) or good(f"you sent {plain}"))
            engine = engine_of(server, key=KEY) if engine_of is openai else engine_of(server)
            said = ""
            try:
                for completion in engine.generate(requests(text), SAMPLING):
                    said += completion.text + completion.error
            except EngineError as error:
                said += str(error)
            assert said
            assert plain not in said
            assert any(plain in value for value in server.headers[0].values())
            engine.close()
    assert plain not in f"{KEY} {KEY!r} {EngineSpec('gemini', 'x', key=KEY)}"


def test_a_key_does_not_follow_a_redirect(serve: Serve) -> None:
    elsewhere = serve(lambda text, _: chat("fine"))
    moved = (307, {"location": elsewhere.address + "/v1/chat/completions"}, b"")
    for engine in (gemini(serve(lambda *_: moved)), openai(serve(lambda *_: moved), key=KEY)):
        try:
            found = list(engine.generate(requests("a"), SAMPLING))
        except EngineError:
            found = []
        assert all(completion.finish_reason == "error" for completion in found)
        engine.close()
    assert elsewhere.headers == []


def test_gemini_without_a_key_says_what_to_do() -> None:
    with pytest.raises(EngineError, match="GEMINI_API_KEY"):
        create_engine(EngineSpec("gemini", "gemini-x"))


def test_an_abandoned_generation_asks_for_no_more(serve: Serve) -> None:
    server = serve(lambda text, _: chat("fine"))
    engine = openai(server, concurrency=2)
    completions = engine.generate(requests(*(f"text {n}" for n in range(50))), SAMPLING)
    next(iter(completions))
    completions.close()  # type: ignore[attr-defined]
    assert sum(server.seen[f"text {n}"] for n in range(50)) <= 6
    engine.close()


def test_a_metered_generation_that_is_abandoned_takes_in_what_is_on_its_way(serve: Serve) -> None:
    def answer(text: str, _: int) -> Reply:
        if text != "first":
            time.sleep(0.3)
        return chat("fine")

    engine = openai(serve(answer), concurrency=3)
    engine.meter = tally = Tally()
    completions = engine.generate(requests("first", "second", "third", "fourth"), SAMPLING)
    next(iter(completions))
    completions.close()  # type: ignore[attr-defined]
    assert tally.reserved == 0
    # What was sent is answered; what no thread had taken up yet was never sent and costs nothing.
    assert {call.outcome for call in tally.calls} <= {"answered", "unsent"}
    assert sum(call.usage.tokens for call in tally.calls if call.outcome == "unsent") == 0
    assert len(tally.calls) >= 3
    engine.close()


def test_a_generation_that_waits_hears_that_it_is_to_stop(serve: Serve) -> None:
    away = as_json({"error": {"message": "later"}}, 503, **{"retry-after": "800"})
    engine = openai(serve(lambda *_: away))
    began = time.monotonic()
    engine.should_stop = lambda: time.monotonic() - began > 0.2
    with pytest.raises(Unanswered, match="asked to stop"):
        list(engine.generate(requests("a"), SAMPLING))
    engine.close()


def test_requests_that_come_by_and_by_are_asked_as_they_come(serve: Serve) -> None:
    engine = openai(serve(lambda text, _: chat(f"re: {text}")), concurrency=2)
    engine.meter = tally = Tally()
    tally.before["c"] = Completion("c", "known", 1, "stop", 0)
    batches = iter([requests("a", "b"), [], requests("c", "d"), None])
    heard: list[str] = []

    def inflow() -> Sequence[Request] | None:
        heard.append("asked")
        return next(batches)

    found = {completion.key: completion.text for completion in engine.follow(inflow, SAMPLING)}
    assert found == {"a": "re: a", "b": "re: b", "c": "known", "d": "re: d"}
    assert len(heard) == 4
    assert len(tally.calls) == 3  # what is known is not paid for again
    engine.close()


def test_a_generation_that_has_enough_takes_in_what_is_in_flight_and_begins_nothing_more(serve: Serve) -> None:
    sent, has_enough = threading.Event(), threading.Event()

    def answer(text: str, number: int) -> Reply:
        if text != "in flight":
            return OPENAI_TROUBLES["503"]  # it would be asked again
        sent.set()
        has_enough.wait(20)
        return chat("late, and kept")

    def enough() -> bool:
        if sent.is_set():
            has_enough.set()
        return sent.is_set()

    server = serve(answer)
    engine = openai(server, concurrency=2, base_delay=0.2, max_delay=0.2)
    engine.has_enough = enough
    completions = engine.generate(requests("in flight", "failing", "not begun"), SAMPLING)
    assert next(iter(completions)).text == "late, and kept"
    with pytest.raises(Unanswered, match="No more was wanted"):
        next(iter(completions))
    assert server.seen["not begun"] == 0
    engine.close()
