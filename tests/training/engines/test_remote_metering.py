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
    # Requests that were sent are answered; those that no thread had started were never sent and cost nothing.
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
    assert len(tally.calls) == 3  # stored answers are not paid for again
    engine.close()


def test_a_generation_that_has_enough_takes_in_what_is_in_flight_and_begins_nothing_more(serve: Serve) -> None:
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
