"""Builds of the miniature are atomic, cached, and reproducible from the seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.miniature import build as building
from training.miniature.build import Miniature, Size, build, find, place

SMALL = Size(documents=256, ift=12, eft=40, replay=8, ranked=6)


def quiet(step: str, done: int, total: int) -> None:
    assert 0 <= done <= total, step


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return build(tmp_path_factory.mktemp("home"), 5, quiet, SMALL)


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_file_exists_with_the_requested_rows(made: Miniature) -> None:
    assert [len(rows(path)) for path in (made.ift, made.eft, made.replay)] == [12, 40, 8]
    assert len(rows(made.prompts_test)) == len(rows(made.prompts_validation)) == 200
    assert {tuple(row) for row in rows(made.prompts_test)} == {("prompt", "family")}
    assert all(row["messages"] == [] for row in rows(made.replay))
    assert all("weights" in row for row in rows(made.eft))


def test_m0_loads_as_any_model_and_is_a_small_llama(made: Miniature) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(made.m0), AutoTokenizer.from_pretrained(made.m0)
    assert model.config.model_type == "llama"
    assert 0.7e6 < sum(parameter.numel() for parameter in model.parameters()) < 1e6
    assert model.config.vocab_size == len(tokenizer)


def test_a_second_call_returns_at_once_and_does_no_step(made: Miniature) -> None:
    def refuse(step: str, done: int, total: int) -> None:
        raise AssertionError(step)

    assert build(made.directory.parents[1], 5, refuse, SMALL) == made


def test_the_same_seed_gives_the_same_files_and_another_seed_others(made: Miniature, tmp_path: Path) -> None:
    again, other = build(tmp_path, 5, quiet, SMALL), build(tmp_path, 6, quiet, SMALL)
    manifests = [json.loads((m.directory / "manifest.json").read_text()) for m in (made, again, other)]
    assert manifests[0] == manifests[1]
    assert manifests[0]["files"]["eft.jsonl"] != manifests[2]["files"]["eft.jsonl"]


def test_an_interrupted_build_is_never_used(tmp_path: Path) -> None:
    def break_off(step: str, done: int, total: int) -> None:
        if step.startswith("Sampling"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, 7, break_off, SMALL)
    assert find(tmp_path, 7, SMALL) is None
    assert list(place(tmp_path, 7).parent.iterdir()) == []


def test_a_changed_file_or_another_size_or_version_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(tmp_path, 8, quiet, SMALL)
    assert find(tmp_path, 8) is None
    monkeypatch.setattr(building, "VERSION", building.VERSION + 1)
    assert find(tmp_path, 8, SMALL) is None
    monkeypatch.undo()
    first.ift.write_text("", encoding="utf-8")
    assert find(tmp_path, 8, SMALL) is None
    assert len(rows(build(tmp_path, 8, quiet, SMALL).ift)) == 12
