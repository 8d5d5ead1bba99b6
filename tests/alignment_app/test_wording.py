"""Formatting of numbers, durations and sizes."""

from __future__ import annotations

from typing import Any

import pytest

from alignment_app.pages.wording import duration, number, percent, rate, short_hash, size, time_left
from alignment_app.templatetags.plumbline import bar, split_bar


def plain(text: str) -> str:
    """Replace no-break spaces by spaces."""
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234, "1,234"), (0.61234, "0.61"), (-0.5, "−0.50"), (3.2e-6, "3.2e-6"), (1e-6, "1e-6"), (0, "0"),
        (250.7, "251"), (None, "–"), ("", "–"), (float("nan"), "–"), (float("inf"), "–"),
    ],
)  # fmt: skip
def test_a_number_is_as_long_as_it_has_to_be(value: Any, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"), (7, "7 s"), (59.6, "1 min"), (372, "6 min 12 s"), (3540, "59 min"), (7080, "1 h 58 min"),
        (273600, "3 days 4 h"), (None, "–"), (-1, "–"),
    ],
)  # fmt: skip
def test_a_duration_has_two_units_at_most(seconds: Any, text: str) -> None:
    assert plain(duration(seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "a few seconds left"),
        (31, "35 s left"),
        (61, "2 min left"),
        (7200, "2 h left"),
        (400_000, "5 days left"),
        (None, ""),
    ],
)
def test_time_left_is_rounded_up(seconds: Any, text: str) -> None:
    assert plain(time_left(seconds)) == text


def test_shares_speeds_sizes_and_hashes() -> None:
    assert plain(percent(0.4812)) == "48 %"
    assert plain(percent(0.9874, 1)) == "98.7 %"
    assert percent(None) == "–"
    assert (rate(38.2), rate(2.44), rate(0.25), rate(None)) == ("38/s", "2.4/s", "15/min", "")
    assert [plain(size(value)) for value in (820, 3_500_000, 120e9, None)] == ["820 B", "3.5 MB", "120 GB", "–"]
    assert short_hash("a41f" + "0" * 58 + "09") == "a41f…09"


def test_a_bar_stays_within_its_ends_and_without_a_value_is_empty() -> None:
    assert 'width="100.0"' in bar(7, 5)
    assert 'width="0.0"' in bar(None, 5)
    assert 'width="0.0"' in bar(1, 0)


def test_win_tie_and_lose_fill_the_bar_and_are_named() -> None:
    drawn = split_bar(9, 7, 4)
    assert 'aria-label="45 % win, 35 % tie, 20 % lose"' in drawn
    assert 'x="80.00" width="20.00"' in drawn
