"""Log-ratios of pairs under a trained model, against a direct computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.domain.templates import augment_query
from training.trainers.log_ratios import measure_pairs
from training.trainers.results import Stopped


def _pair(question: str, chosen: str, rejected: str, **scores: float | None) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        **scores,
    }


PAIRS = [
    _pair("What is 2 + 2?", "It is four.", "Five", chosen_score=5.0, rejected_score=1.5),
    _pair("Say the same", "no", "no", chosen_score=3.0, rejected_score=1.0),
    _pair("Say so", "so", "or so", chosen_score=None, rejected_score=1.0),
]


@pytest.fixture
def moved(little_model: Path, tmp_path: Path) -> Path:
    """The little model with changed weights."""
    model = AutoModelForCausalLM.from_pretrained(little_model)
    torch.manual_seed(4)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    model.save_pretrained(tmp_path / "moved")
    AutoTokenizer.from_pretrained(little_model).save_pretrained(tmp_path / "moved")
    return tmp_path / "moved"


def _measure(model: Path, reference: Path, *, stop: bool = False, batch_size: int = 2, **more: Any) -> Any:
    return measure_pairs(
        PAIRS, model=str(model), reference=str(reference), batch_size=batch_size, max_length=256, dtype="float32",
        trust_remote_code=False, should_stop=lambda: stop, **more,
    )  # fmt: skip


def _logp(folder: Path, prompt: str, answer: str) -> float:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    turn = [{"role": "user", "content": prompt}]
    start = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*turn, {"role": "assistant", "content": answer}], tokenize=False)
    first = len(tokenizer(start, add_special_tokens=False)["input_ids"])
    ids = torch.tensor([tokenizer(whole, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        logps = model(input_ids=ids).logits[0, :-1].double().log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
    return float(logps[first - 1 :].sum())


def test_log_ratios_are_the_models_own_on_the_query_and_on_the_augmented_one(moved: Path, little_model: Path) -> None:
    first, same, last = _measure(moved, little_model)
    assert same is None  # pairs of equal responses are skipped
    question, chosen, rejected = "What is 2 + 2?", "It is four.", "Five"

    def ratio(query: str, answer: str) -> float:
        return _logp(moved, query, answer) - _logp(little_model, query, answer)

    assert first.chosen_log_ratio == pytest.approx(ratio(question, chosen), abs=1e-4)
    assert first.rejected_log_ratio == pytest.approx(ratio(question, rejected), abs=1e-4)
    augmented = augment_query(question)
    assert first.augmented_margin == pytest.approx(ratio(augmented, chosen) - ratio(augmented, rejected), abs=1e-4)
    assert (first.score_difference, last.score_difference) == (3.5, None)


def test_a_model_does_not_differ_from_itself(little_model: Path) -> None:
    first, _, last = _measure(little_model, little_model)
    assert (first.margin, first.augmented_margin, last.margin) == (0.0, 0.0, 0.0)


def test_measuring_stops_between_two_batches(moved: Path, little_model: Path) -> None:
    with pytest.raises(Stopped):
        _measure(moved, little_model, stop=True, batch_size=1)


def test_the_augmented_log_ratio_is_on_the_configured_refinement_prompt(moved: Path, little_model: Path) -> None:
    first, _, _ = _measure(moved, little_model, refinement_prompt="Answer well:")
    augmented = augment_query("What is 2 + 2?", "Answer well:")

    def ratio(answer: str) -> float:
        return _logp(moved, augmented, answer) - _logp(little_model, augmented, answer)

    assert first.augmented_margin == pytest.approx(ratio("It is four.") - ratio("Five"), abs=1e-4)
