"""Thresholds of the judge alarms, and the alarms of judges in recorded data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.domain import alarms
from training.domain.alarms import Health, OrderHealth
from training.domain.rows import Verdict


def kinds(figures: Health | OrderHealth) -> list[str]:
    return [alarm.kind for alarm in alarms.alarms(figures)]


@pytest.mark.parametrize(("same", "alarmed"), [(35, False), (36, True), (40, True)])
def test_ninety_percent_equal_scores_raise_an_alarm(same: int, alarmed: bool) -> None:
    found = alarms.health([4.0] * same + [2.0] * (40 - same))
    assert found.common_score == 4
    assert kinds(found) == (["one_score"] if alarmed else [])


def test_few_replies_raise_no_alarm() -> None:
    assert kinds(alarms.health([4.0] * 29)) == []
    assert kinds(alarms.health([None] * 29)) == []
    assert kinds(alarms.health([])) == []
    assert kinds(alarms.order_health([("first", "first")] * 29)) == []


@pytest.mark.parametrize(("unparsed", "alarmed"), [(4, False), (5, True), (40, True)])
def test_more_than_ten_percent_unparsed_replies_raise_an_alarm(unparsed: int, alarmed: bool) -> None:
    scores = [None] * unparsed + [float(place % 5) for place in range(40 - unparsed)]
    assert kinds(alarms.health(scores)) == (["unparsed"] if alarmed else [])


@pytest.mark.parametrize("sign", [1, -1])
def test_correlation_with_length_within_prompts_raises_an_alarm_in_both_directions(sign: int) -> None:
    groups = [[(float(sign * place), 10 * place + offset) for place in range(4)] for offset in range(30)]
    found = alarms.health([float(place % 5) for place in range(40)], groups)
    assert found.length_rho == pytest.approx(sign)
    assert found.length_prompts == 30
    (alarm,) = alarms.alarms(found)
    assert ("longer" if sign > 0 else "shorter") in alarm.text


def test_correlation_with_length_only_between_prompts_raises_no_alarm() -> None:
    # Scores and lengths are high for one prompt and low for another, but uncorrelated within a prompt.
    groups = [[(float(n % 5), 100 * (n % 5) + i) for i in range(4)] for n in range(40)]
    assert alarms.health([], groups).length_rho is None
    mixed = [[(3.0, 100 * n), (4.0, 100 * n + (5 if n % 2 else -5))] for n in range(1, 41)]
    assert alarms.health([], mixed).length_rho == pytest.approx(0)


@pytest.mark.parametrize(
    ("one", "other", "changed", "first"),
    [
        ("first", "second", 0, 0),
        ("second", "first", 0, 0),
        ("tie", "tie", 0, 0),
        ("first", "first", 1, 1),
        ("second", "second", 1, 0),
        ("tie", "first", 1, 0),
    ],
)
def test_a_verdict_changes_if_the_orders_name_different_answers(
    one: Verdict, other: Verdict, changed: int, first: int
) -> None:
    assert alarms.order_health([(one, other)]) == OrderHealth(1, 1, changed, first)


def test_comparisons_without_a_verdict_are_counted_separately() -> None:
    assert alarms.order_health([("unparsed", "first"), ("first", "second")]) == OrderHealth(2, 1, 0, 0)


@pytest.mark.parametrize(("changed", "alarmed"), [(11, False), (12, True)])
def test_thirty_percent_order_dependent_verdicts_raise_an_alarm(changed: int, alarmed: bool) -> None:
    verdicts: list[tuple[Verdict, Verdict]] = [("first", "first")] * changed + [("first", "second")] * (40 - changed)
    assert kinds(alarms.order_health(verdicts)) == (["changes_mind"] if alarmed else [])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _judge(rows: list[dict[str, Any]], column: str) -> Health:
    groups = [
        [
            (None if (score := reply["scores"][column]) == -1 else score, len(reply["text"]))
            for reply in row["responses"]
            if reply["scores"].get(column) is not None
        ]
        for row in rows
    ]
    return alarms.health([score for group in groups for score, _ in group], groups)


def test_of_the_recorded_judges_only_the_student_with_unparsed_replies_raises_an_alarm(real_data: Path) -> None:
    rows = _lines(real_data / "eft_scores_200.jsonl")
    found = _judge(rows, "M2")
    assert (found.replies, found.parsed) == (800, 173)
    assert kinds(found) == ["unparsed"]
    assert "627 of 800 replies held no score (78%)" in alarms.alarms(found)[0].text
    for column in ("gpt", "gemini", "M1"):
        assert kinds(_judge(rows, column)) == []


def test_gpt_4_scores_of_the_vicuna_questions_correlate_with_length(real_data: Path) -> None:
    rows = _lines(real_data / "prometheus_vicuna_80.jsonl")
    groups = [[(reply["score"], len(reply["text"])) for reply in row["responses"]] for row in rows]
    found = alarms.health([score for group in groups for score, _ in group], groups)
    assert kinds(found) == ["follows_length"]
    assert found.length_rho == pytest.approx(0.443, abs=0.001)
    assert found.length_prompts == 74


def test_chatgpt_verdicts_depend_on_the_order_in_forty_percent(real_data: Path) -> None:
    place: dict[tuple[str, str], Verdict] = {("12", "1"): "first", ("12", "2"): "second", ("21", "1"): "second",
                                             ("21", "2"): "first"}  # fmt: skip
    found = alarms.order_health(
        (place.get(("12", row["winner_order_12"]), "unparsed"), place.get(("21", row["winner_order_21"]), "unparsed"))
        for row in _lines(real_data / "both_orders_chatgpt.jsonl")
    )
    assert found == OrderHealth(885, 879, 357, 348)
    assert kinds(found) == ["changes_mind"]
