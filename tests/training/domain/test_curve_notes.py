"""Curve notes on synthetic curves: each pattern is detected, and a normal training has no note."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from training.domain.curve_notes import FEWEST_STEPS, NOTE_KEYS, Series, TrainingSettings, curve_notes

ROOT = Path(__file__).resolve().parents[3]
STEPS = 100


def _line(of: Callable[[float], float], steps: int = STEPS) -> Series:
    """Return a curve from a function of the training progress, 0 to 1."""
    return [(step + 1, of(step / (steps - 1))) for step in range(steps)]


def _ordinary(steps: int = STEPS) -> dict[str, Series]:
    """Return curves of a normal DPO training."""
    return {
        "loss": _line(lambda t: math.log(1 + math.exp(-t)), steps),
        "chosen_reward": _line(lambda t: 0.4 * t, steps),
        "rejected_reward": _line(lambda t: -0.6 * t, steps),
        "margin": _line(lambda t: t, steps),
        "accuracy": _line(lambda t: 0.5 + 0.25 * t, steps),
        "grad_norm": _line(lambda t: 1.2 - t, steps),
    }


def _keys(changes: dict[str, Series], **setting: object) -> list[str]:
    return [note.key for note in curve_notes(_ordinary() | changes, TrainingSettings(**setting))]  # type: ignore[arg-type]


def test_a_normal_training_has_no_note() -> None:
    assert _keys({}) == []


def test_too_few_steps_have_no_note() -> None:
    few = FEWEST_STEPS - 1
    flat = _ordinary(few) | {"loss": _line(lambda _: math.log(2), few), "grad_norm": _line(lambda _: 50, few)}
    assert curve_notes(flat, TrainingSettings()) == []
    assert curve_notes({}, TrainingSettings()) == []


@pytest.mark.parametrize("loss", ["dpo", "sr_dpo", "trl:sigmoid"])
def test_a_loss_that_stays_at_log_2(loss: str) -> None:
    flat = {"loss": _line(lambda t: math.log(2) - 0.003 * t), "margin": _line(lambda t: 0.006 * t)}
    assert _keys(flat, loss=loss) == ["loss-stays"]
    assert _keys(flat, loss=loss, steps=4 * STEPS) == []  # too early after a quarter of the steps


def test_ipo_stays_at_its_own_start() -> None:
    assert _keys({"loss": _line(lambda t: 25 - 0.1 * t)}, loss="ipo", beta=0.1) == ["loss-stays"]
    assert _keys({"loss": _line(lambda t: 25 - 10 * t)}, loss="ipo", beta=0.1) == []


def test_an_unexpected_loss_at_the_first_step() -> None:
    other = {"loss": _line(lambda t: 0.9 - 0.4 * t)}
    assert _keys(other) == ["starts-elsewhere"]
    assert _keys(other, dropout=0.1) == []
    assert _keys(other, starts_at_reference=False) == []
    assert _keys(other, loss="trl:hinge") == []


def test_the_chosen_reward_falls_while_accuracy_rises() -> None:
    falling = {"chosen_reward": _line(lambda t: -2 * t)}
    (note,) = curve_notes(_ordinary() | falling, TrainingSettings())
    assert note.key == "chosen-falls"
    assert "-0.19 to -1.81" in note.text
    assert "52% to 73%" in note.text
    assert _keys(falling | {"accuracy": _line(lambda _: 0.7)}) == []
    one_bad_step = {"chosen_reward": _line(lambda t: -9.0 if 0.9 < t < 0.92 else 0.0)}
    assert _keys(one_bad_step) == []
    ties_first = {"accuracy": [(1, 0.0), *((step, 0.53) for step in range(2, 26))]}
    assert "chosen-falls" not in _keys({"chosen_reward": _line(lambda t: -2 * t, 25)} | ties_first)


def test_the_margin_explodes() -> None:
    learnt = {"margin": _line(lambda t: 20 * t), "loss": _line(lambda t: math.log(1 + math.exp(-20 * t)))}
    assert _keys(learnt) == ["margin-explodes"]
    assert _keys({"margin": _line(lambda t: 4 * t), "loss": _line(lambda t: math.log(1 + math.exp(-4 * t)))}) == []
    ipo = {"loss": _line(lambda t: 25 - 20 * t)}
    assert _keys(ipo | {"margin": _line(lambda t: 2 * t)}, loss="ipo") == ["margin-explodes"]
    assert _keys(ipo | {"margin": _line(lambda t: 0.6 * t)}, loss="ipo") == []


def test_accuracy_near_one_from_the_start_needs_ten_steps() -> None:
    right = {"accuracy": _line(lambda t: 1.0 if t else 0.0, 10)}
    assert _keys(right) == ["accuracy-at-once"]
    assert _keys({"accuracy": _line(lambda t: 1.0 if t else 0.0, 9)}) == []


def test_accuracy_stays_at_one_half_while_the_margin_moves() -> None:
    draw = random.Random(1)
    noise = {"accuracy": _line(lambda _: 0.5), "margin": _line(lambda _: draw.choice([-0.4, 0.4]))}
    assert _keys(noise) == ["accuracy-half"]
    assert _keys(noise | {"margin": _line(lambda _: 0.01)}) == []


def test_the_gradient_is_clipped_at_every_step() -> None:
    large = {"grad_norm": _line(lambda t: 40 - t)}
    assert _keys(large) == ["gradient-limit"]
    assert _keys(large, max_grad_norm=0) == []
    assert _keys(large, max_grad_norm=50) == []


def test_the_loss_jumps() -> None:
    draw = random.Random(2)
    assert _keys({"loss": [(1, math.log(2)), *_line(lambda _: draw.uniform(0.2, 1.2))]}) == ["loss-jumps"]


def test_accuracy_differs_on_augmented_prompts() -> None:
    assert _keys({"augmented_accuracy": _line(lambda t: 0.5)}, loss="sr_dpo") == ["augmented-apart"]
    assert _keys({"augmented_accuracy": _line(lambda t: 0.5 + 0.2 * t)}, loss="sr_dpo") == []


def test_fine_tuning_has_its_own_patterns() -> None:
    def keys(loss: Callable[[float], float]) -> list[str]:
        return [note.key for note in curve_notes({"loss": _line(loss)}, TrainingSettings(fine_tuning=True))]

    assert keys(lambda t: 3 - 2 * t) == []
    assert keys(lambda t: 0.05 + 3 * (1 - t) ** 4) == ["by-heart"]
    assert keys(lambda t: 2 + (t - 0.4) ** 2 * 4) == ["loss-rises"]


def test_every_note_has_its_row_in_the_documentation() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert set(re.findall(r'^\| <a id="([a-z0-9-]+)"></a>', text, re.MULTILINE)) >= set(NOTE_KEYS)
