"""The grid of a study: its points and invalid axes."""

from __future__ import annotations

from typing import Any

import pytest

from training.config import MOST_POINTS, Axis, ConfigError, RunConfig, grid, preset_data, read_values

BASE = preset_data("pythia-2.8b-hh-rlhf-sr-dpo")


def problems(*axes: Axis) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        grid(BASE, axes, "study")
    return caught.value.problems


def test_a_grid_has_a_run_for_each_combination_and_the_last_field_varies_fastest() -> None:
    points = grid(BASE, [Axis("training.lam", (0, 0.3)), Axis("training.loss", ("sr_dpo", "sr_ipo"))], "λ")
    assert [point.values for point in points] == [(0, "sr_dpo"), (0, "sr_ipo"), (0.3, "sr_dpo"), (0.3, "sr_ipo")]
    assert [(point.config.training.lam, point.config.training.loss) for point in points] == [
        point.values for point in points
    ]
    assert points[3].config.name == "λ: lam 0.3, loss sr_ipo"


def test_the_seed_counts_beside_two_fields() -> None:
    axes = [Axis("training.lam", (0, 0.3)), Axis("training.loss", ("sr_dpo", "sr_ipo")), Axis("seed", (1, 2, 3))]
    points = grid(BASE, axes, "λ")
    assert len(points) == 12
    assert [point.config.seed for point in points[:3]] == [1, 2, 3]


def test_the_runs_differ_only_in_the_varied_fields() -> None:
    for point in grid(BASE, [Axis("training.beta", (0.05, 0.5))], "β"):
        changed = {**point.config.to_dict(), "name": "x"}
        changed["training"] = {**changed["training"], "beta": 0.1}
        assert RunConfig.parse(changed).config_hash == RunConfig.parse(BASE).config_hash


@pytest.mark.parametrize(
    ("text", "values"),
    [("0, 0.1,1", (0, 0.1, 1)), ("sr_dpo , dpo", ("sr_dpo", "dpo")), ("5.0e-7, auto", (5e-7, "auto")), (" , ", ())],
)
def test_values_are_comma_separated_yaml(text: str, values: tuple[Any, ...]) -> None:
    assert read_values("training.lam", text) == values


def test_invalid_axes_are_rejected_with_a_message() -> None:
    assert problems() == [("", "choose a field and its values")]
    assert "at most 2 fields" in problems(*(Axis(f"training.{name}", (1,)) for name in ("beta", "lam", "epochs")))[0][1]
    assert problems(Axis("training.beta", ())) == [("training.beta", "give values separated by commas")]
    assert problems(Axis("training.beta", (0.1, 0.1))) == [("training.beta", "0.1 is repeated")]
    assert problems(Axis("name", ("a", "b")))[0][0] == "name"
    assert "different fields" in problems(Axis("seed", (1,)), Axis("seed", (2,)))[0][1]
    assert f"at most {MOST_POINTS}" in problems(Axis("seed", tuple(range(MOST_POINTS + 1))))[0][1]


def test_an_invalid_value_is_reported_once_with_its_run() -> None:
    found = problems(Axis("training.lam", (0.1, 40)), Axis("training.loss", ("sr_dpo", "sr_ipo")))
    assert found == [("training.lam", "must be auto, or a number from 0 to 10 (with lam 40, loss sr_dpo)")]


def test_an_unknown_field_is_reported() -> None:
    assert problems(Axis("training.lambda", (0.1,)))[0][0] == "training.lambda"
