"""Remote engines with the real SDKs, against local servers that misbehave on purpose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.support.engines import SAMPLING, Serve, Tally, gemini, openai, requests
from tests.support.providers import (
    GEMINI_TROUBLES,
    OPENAI_TROUBLES,
    Answer,
    Reply,
    as_json,
    candidate,
    chat,
)
from training.config import RunConfig
from training.engines import create_engine, student_spec
from training.engines.base import EngineError, Request, Sampling, Unanswered
from training.engines.gemini import CATEGORIES
from training.engines.remote import REFUSED_AFTER, RemoteEngine, retry_after_seconds


@pytest.mark.parametrize(
    ("engine_of", "troubles", "good"), [(gemini, GEMINI_TROUBLES, candidate), (openai, OPENAI_TROUBLES, chat)]
)
def test_every_kind_of_failure_is_retried_without_losing_an_answer(
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


def test_requests_in_flight_to_a_students_server_equal_the_batch_size(serve: Serve) -> None:
    together = threading.Barrier(6)  # no answer before six requests have arrived

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


def test_requests_carry_limit_seed_system_text_and_safety_settings(serve: Serve) -> None:
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


def test_an_unanswered_request_is_an_error_completion_and_no_score(serve: Serve) -> None:
    server = serve(lambda text, _: OPENAI_TROUBLES["500"] if text == "bad" else chat("fine"))
    engine = openai(server)
    found = {completion.key: completion for completion in engine.generate(requests("bad", "good"), SAMPLING)}
    assert found["good"].text == "fine"
    assert (found["bad"].text, found["bad"].finish_reason) == ("", "error")
    assert "4 attempts" in found["bad"].error
    assert not found["bad"].refused  # a retry could succeed
    engine.close()


def test_an_answer_that_is_empty_each_time_counts_as_a_refusal(serve: Serve) -> None:
    engine = openai(serve(lambda text, _: chat("", "length")))
    (found,) = engine.generate(requests("a"), SAMPLING)
    assert (found.finish_reason, found.refused) == ("error", True)
    engine.close()


def test_a_lasting_safety_block_is_a_refusal_after_three_attempts(serve: Serve) -> None:
    server = serve(lambda text, _: GEMINI_TROUBLES[text])
    engine = gemini(server)
    found = list(engine.generate(requests("blocked prompt", "blocked answer"), SAMPLING))
    assert all("SAFETY" in completion.error and completion.refused for completion in found)
    assert server.seen["blocked prompt"] == server.seen["blocked answer"] == 3
    engine.close()


def test_an_invalid_request_is_not_retried(serve: Serve) -> None:
    server = serve(lambda text, _: as_json({"error": {"message": "bad field", "code": 400}}, 400))
    for engine in (gemini(server), openai(server)):
        (found,) = engine.generate(requests(engine.name), SAMPLING)
        assert found.refused
        assert "bad field" in found.error
        assert server.seen[engine.name] == 1
        engine.close()


def test_a_truncated_answer_is_marked_as_truncated(serve: Serve) -> None:
    for engine in (
        gemini(serve(lambda text, _: candidate("half", "MAX_TOKENS"))),
        openai(serve(lambda text, _: chat("half", "length"))),
    ):
        assert next(iter(engine.generate(requests("a"), SAMPLING))).finish_reason == "length"
        engine.close()


def test_a_retry_after_delays_all_requests_for_its_full_duration(serve: Serve) -> None:
    busy = as_json({"error": {"message": "slow down"}}, 429, **{"retry-after": "0.6"})
    server = serve(lambda text, number: busy if (text, number) == ("a", 1) else chat("fine"))
    engine = openai(server, concurrency=1)  # the engine's own maximum delay is 10 ms
    assert len(list(engine.generate(requests("a", "b"), SAMPLING))) == 2
    assert server.times[1] - server.times[0] >= 0.6
    engine.close()


def test_a_retry_after_is_parsed_as_number_duration_and_date() -> None:
    assert retry_after_seconds("12") == 12
    assert retry_after_seconds("0.5s") == 0.5
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 < (retry_after_seconds(format_datetime(soon, usegmt=True)) or 0) <= 90
    assert retry_after_seconds(format_datetime(soon - timedelta(hours=1), usegmt=True)) == 0
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds(None) is None


def test_a_wait_of_hours_ends_the_generation_with_the_reason(serve: Serve) -> None:
    away = as_json({"error": {"message": "daily quota", "code": 429}}, 429, **{"retry-after": "7200"})
    for engine in (gemini(serve(lambda *_: away)), openai(serve(lambda *_: away))):
        with pytest.raises(Unanswered, match="requested a wait of 7200 seconds"):
            list(engine.generate(requests("a", "b"), SAMPLING))
        engine.close()


def test_an_exhausted_quota_ends_the_generation_and_keeps_its_answers(serve: Serve) -> None:
    quota = as_json({"error": {"message": "no more", "code": "insufficient_quota", "type": "insufficient_quota"}}, 429)
    server = serve(lambda text, _: quota if text == "c" else chat("fine"))
    engine = openai(server, concurrency=1)
    came = []
    with pytest.raises(Unanswered, match="quota is used up"):
        came.extend(completion.key for completion in engine.generate(requests("a", "b", "c", "d"), SAMPLING))
    assert server.seen["c"] == 1
    assert server.seen["d"] == 0
    engine.close()


def test_delays_grow_with_jitter() -> None:
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


@pytest.mark.parametrize(("engine_of", "reply"), [(gemini, candidate("", "MAX_TOKENS")), (openai, chat("", "length"))])
def test_an_answer_that_was_all_reasoning_is_paid_once_and_names_the_setting(
    serve: Serve, engine_of: Callable[..., RemoteEngine], reply: Answer
) -> None:
    server = serve(lambda text, _: reply)
    engine = engine_of(server, reasoning_tokens=100)
    engine.meter = tally = Tally()
    (found,) = engine.generate(requests("hard"), SAMPLING)
    engine.close()
    assert (found.finish_reason, found.refused) == ("error", True)
    assert "reasoning_tokens" in found.error
    assert [call.outcome for call in tally.calls] == ["empty"]
    assert tally.calls[0].usage.completion_tokens > 0
    (body,) = server.bodies
    limit = body["generationConfig"]["maxOutputTokens"] if "generationConfig" in body else body["max_tokens"]
    assert limit == SAMPLING.max_new_tokens + 100


def test_a_server_that_refuses_everything_is_not_asked_further(serve: Serve) -> None:
    server = serve(lambda text, _: as_json({"error": {"message": "no max_tokens here", "code": 400}}, 400))
    engine = openai(server, concurrency=2)
    with pytest.raises(EngineError, match="no max_tokens here") as raised:
        list(engine.generate(requests(*(str(number) for number in range(60))), SAMPLING))
    engine.close()
    assert not isinstance(raised.value, Unanswered)
    assert len(server.bodies) <= REFUSED_AFTER + 2


def test_refusals_after_an_answer_or_of_one_prompt_end_nothing(serve: Serve) -> None:
    answered = serve(lambda text, _: chat("yes") if text == "0" else as_json({"error": {"message": "no"}}, 400))
    engine = openai(answered, concurrency=1)
    assert len(list(engine.generate(requests(*(str(number) for number in range(30))), SAMPLING))) == 30
    engine.close()
    engine = openai(serve(lambda text, _: as_json({"error": {"message": "no"}}, 400)), concurrency=1)
    same = [Request(str(number), ({"role": "user", "content": "a long one"},), number) for number in range(30)]
    assert all(one.refused for one in engine.generate(same, SAMPLING))
    engine.close()
