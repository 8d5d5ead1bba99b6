"""How remote engines count usage, reserve it, and await requests in flight at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from tests.support.engines import SAMPLING, Serve, Tally, gemini, openai, requests
from tests.support.providers import (
    GEMINI_TROUBLES,
    OPENAI_TROUBLES,
    Reply,
    as_json,
    candidate,
    chat,
)
from training.domain.spending import Usage
from training.engines.base import BudgetReached, Completion, Request, Unanswered


def test_usage_is_the_providers_count_or_the_worst_case_of_lost_requests(serve: Serve) -> None:
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


def test_a_budget_is_never_exceeded_and_used_as_far_as_possible(serve: Serve) -> None:
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


def test_an_abandoned_generation_sends_no_more_requests(serve: Serve) -> None:
    server = serve(lambda text, _: chat("fine"))
    engine = openai(server, concurrency=2)
    completions = engine.generate(requests(*(f"text {n}" for n in range(50))), SAMPLING)
    next(iter(completions))
    completions.close()  # type: ignore[attr-defined]
    assert sum(server.seen[f"text {n}"] for n in range(50)) <= 6
    engine.close()


def test_an_abandoned_metered_generation_awaits_requests_in_flight(serve: Serve) -> None:
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
    # Requests that were sent are answered; those that no thread had started were never sent and cost nothing.
    assert {call.outcome for call in tally.calls} <= {"answered", "unsent"}
    assert sum(call.usage.tokens for call in tally.calls if call.outcome == "unsent") == 0
    assert len(tally.calls) >= 3
    engine.close()


def test_a_waiting_generation_can_be_stopped(serve: Serve) -> None:
    away = as_json({"error": {"message": "later"}}, 503, **{"retry-after": "800"})
    engine = openai(serve(lambda *_: away))
    began = time.monotonic()
    engine.should_stop = lambda: time.monotonic() - began > 0.2
    with pytest.raises(Unanswered, match="asked to stop"):
        list(engine.generate(requests("a"), SAMPLING))
    engine.close()


def test_requests_that_arrive_over_time_are_sent_at_once(serve: Serve) -> None:
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
    assert len(tally.calls) == 3  # stored answers are not paid for again
    engine.close()


def test_a_generation_that_has_enough_awaits_requests_in_flight_and_sends_no_more(serve: Serve) -> None:
    sent, has_enough = threading.Event(), threading.Event()

    def answer(text: str, number: int) -> Reply:
        if text != "in flight":
            return OPENAI_TROUBLES["503"]  # a retry would follow
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
    with pytest.raises(Unanswered, match="No more answers were needed"):
        next(iter(completions))
    assert server.seen["not begun"] == 0
    engine.close()
