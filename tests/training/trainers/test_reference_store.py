"""Stored reference log-probabilities are reused for identical computations only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.trainers import reference
from training.trainers.pair_logps import PairTokens
from training.trainers.reference import LogpsModel, pair_logps
from training.trainers.reference_store import ReferenceStore, weights_hash
from training.trainers.results import Stopped

PAIRS = [
    PairTokens([5, 6, 7 + n], [10 + n, 11, 12], [20, 21 + n], [5, 30, 31, 7 + n], pair_id=n) for n in range(12)
]  # fmt: skip
Sums = list[tuple[float, float]]


@pytest.fixture
def ask(little_model: Path, tmp_path: Path) -> Callable[..., tuple[Sums, Sums, str]]:
    """Return the pairs' log-probabilities and the message."""

    def run(pairs: list[PairTokens] = PAIRS, **changes: Any) -> tuple[Sums, Sums, str]:
        said: list[str] = []
        settings = LogpsModel(str(changes.get("model", little_model)), changes.get("dtype", "float32"), 0, 2)
        plain, refined = pair_logps(
            settings, pairs, augment=changes.get("augment", True), store=tmp_path / "store", say=said.append,
            should_stop=changes.get("should_stop", lambda: False),
        )  # fmt: skip
        return plain, refined, said[0]

    return run


def _copy_with_one_weight_changed(model: Path, folder: Path) -> Path:
    loaded = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        loaded.model.layers[0].mlp.up_proj.weight[0, 0] += 0.5
    loaded.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def test_stored_values_are_reused_without_loading_the_model(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, refined, said = ask()
    assert said == "Reference log-probabilities: 0 of 12 pairs found, 12 to compute."

    def refuse(_: LogpsModel) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(reference, "_load", refuse)
    assert ask() == (plain, refined, "Reference log-probabilities: 12 of 12 pairs found, 0 to compute.")


def test_only_missing_values_are_computed(ask: Callable[..., Any]) -> None:
    ask(PAIRS[:8], augment=False)
    plain, _, said = ask(augment=False)
    assert said == "Reference log-probabilities: 8 of 12 pairs found, 4 to compute."
    assert ask()[2] == "Reference log-probabilities: 0 of 12 pairs found, 12 to compute."  # none was computed on p⊕x
    assert [value for pair in plain for value in pair] == pytest.approx(
        [value for pair in ask()[0] for value in pair], abs=1e-5
    )


def test_another_token_another_prompt_or_another_response_is_another_entry(ask: Callable[..., Any]) -> None:
    ask()
    for changed in (
        PairTokens([5, 6, 8], [10, 11, 12], [20, 21], [5, 30, 31, 7]),
        PairTokens([5, 6, 7], [10, 11], [20, 21], [5, 30, 31, 7]),
        PairTokens([5, 6, 7], [10, 11, 12], [20, 22], [5, 30, 31, 7]),
        PairTokens([5, 6, 7], [10, 11, 12], [20, 21], [5, 30, 32, 7]),
    ):
        assert ask([changed])[2].startswith("Reference log-probabilities: 0 of 1 pairs found")


def test_a_model_with_one_changed_weight_reuses_no_value(
    ask: Callable[..., Any], little_model: Path, tmp_path: Path
) -> None:
    before = ask()[0]
    other = _copy_with_one_weight_changed(little_model, tmp_path / "other")
    after, _, said = ask(model=other)
    assert said.startswith("Reference log-probabilities: 0 of 12 pairs found")
    assert after != before
    same = shutil.copytree(little_model, tmp_path / "elsewhere")
    assert ask(model=same)[2].startswith("Reference log-probabilities: 12 of 12 pairs found")


def test_a_truncated_or_changed_file_is_removed_and_computed_again(ask: Callable[..., Any], tmp_path: Path) -> None:
    before = ask()
    (kept,) = (tmp_path / "store").glob("*/*.json")
    whole = kept.read_bytes()
    for broken in (whole[: len(whole) // 2], whole.replace(b"-1", b"-2", 1), b""):
        kept.write_bytes(broken)
        plain, refined, said = ask()
        assert said.startswith("Reference log-probabilities: 0 of 12 pairs found")
        assert (plain, refined) == before[:2]
    (kept.parent / "left.json.partial").write_bytes(whole[:20])
    assert ask()[2].startswith("Reference log-probabilities: 12 of 12 pairs found")


def test_a_stopped_pass_resumes_and_gives_the_same_numbers(ask: Callable[..., Any], tmp_path: Path) -> None:
    answers = iter([False, False, True])
    with pytest.raises(Stopped):
        ask(should_stop=lambda: next(answers))
    plain, refined, said = ask(augment=False)
    assert said == "Reference log-probabilities: 6 of 12 pairs found, 6 to compute."
    shutil.rmtree(tmp_path / "store")
    assert ask(augment=False)[:2] == (plain, refined)


def test_the_store_removes_the_least_recently_used_folders_above_its_limit(tmp_path: Path) -> None:
    entries = {f"{n:064}": (-1.5 * n, -2.5) for n in range(50)}
    stores = [ReferenceStore(tmp_path, {"weights": name}, limit_bytes=9_000) for name in ("a", "b", "c")]
    for age, store in enumerate(stores[:2]):
        store.add(entries)
        os.utime(store.folder, (1000 + age, 1000 + age))
    assert stores[0].load() == entries  # used again, so b is now the older
    stores[2].add(entries)
    stores[2].tidy()
    assert [store.folder.exists() for store in stores] == [True, False, True]


def test_the_files_of_a_model_are_merged_into_one(tmp_path: Path) -> None:
    store = ReferenceStore(tmp_path, {"weights": "a"})
    for n in range(5):
        store.add({f"{n:064}": (-0.1 * n, -1.0)})
    whole = store.load()
    store.tidy()
    assert len(list(store.folder.iterdir())) == 1
    assert store.load() == whole
    assert len(whole) == 5


def test_the_hash_of_a_model_covers_weights_configuration_and_code_only(little_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(little_model, tmp_path / "copy")
    assert weights_hash(copy) == weights_hash(little_model)
    (copy / "README.md").write_text("words")
    assert weights_hash(copy) == weights_hash(little_model)
    (copy / "modeling.py").write_text("code")
    assert weights_hash(copy) != weights_hash(little_model)
