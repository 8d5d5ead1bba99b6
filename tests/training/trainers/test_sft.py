"""Supervised fine-tuning: loss on target tokens only, weights, truncation, schedules, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.students import CHAT, save_little_student
from tests.support.tokenizers import tokenizer_of
from training.config import SFTConfig
from training.conversation.encoder import ConversationEncoder
from training.engines.base import Request, Sampling
from training.engines.transformers_engine import TransformersEngine
from training.trainers import checkpoints
from training.trainers.loading import load_model
from training.trainers.results import Stopped, TrainingError
from training.trainers.schedule import decay_to_floor
from training.trainers.sft import encode_rows, train_sft

ASKED = [{"role": "user", "content": "Name a bird."}]


def _rows(count: int = 8) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": f"Say {n}."}], "completion": f"It is {n * n}."} for n in range(count)
    ]


def _train(model: Path, folder: Path, rows: list[dict[str, Any]], **changes: Any) -> tuple[Any, list[dict[str, Any]]]:
    points: list[dict[str, Any]] = []
    stop_at = changes.pop("stop_at", 0)
    steps = iter(range(1, 10_000))
    settings: dict[str, Any] = {
        "datasets": ("d",), "learning_rate": 3e-3, "final_learning_rate": 3e-4, "batch_size": 4, "micro_batch_size": 2,
    }  # fmt: skip
    result = train_sft(
        rows, model=str(model), output_dir=folder, config=SFTConfig(**(settings | changes)), seed=1, max_length=256,
        report=points.append, should_stop=lambda: next(steps) == stop_at,
    )  # fmt: skip
    return result, points


def _direct_loss(model: Any, tokenizer: Any, rows: list[dict[str, Any]]) -> float:
    """Weighted mean negative log-likelihood of the completions, one row at a time."""
    encoder = ConversationEncoder(tokenizer)
    total = weight = 0.0
    for row in rows:
        example = (
            encoder.example(row["messages"], row["completion"], spans=row.get("weights", ()))
            if row["messages"]
            else encoder.raw(row["completion"])
        )
        ids = torch.tensor([example.prompt_ids + example.completion_ids])
        logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        weights = torch.tensor([0.0] * len(example.prompt_ids) + example.weights)[1:]
        total -= float((logps * weights).sum())
        weight += float(weights.sum())
    return total / weight


def test_the_loss_is_the_weighted_mean_over_target_tokens_of_the_whole_batch(
    little_model: Path, tmp_path: Path
) -> None:
    rows = [*_rows(6), {"messages": [], "completion": "a raw text"}, _rows(1)[0] | {"weights": [[0, 2, 3.0]]}]
    _, points = _train(little_model, tmp_path, rows, batch_size=8)
    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(little_model)
        expected = _direct_loss(model, AutoTokenizer.from_pretrained(little_model), rows)
    assert points[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_training_lowers_the_loss_and_publishes_a_model(little_model: Path, tmp_path: Path) -> None:
    result, points = _train(little_model, tmp_path, _rows(), epochs=6)
    assert points[-1]["loss"] < points[0]["loss"]
    assert points[-1]["learning_rate"] == pytest.approx(3e-4)
    assert set(points[0]) == {
        "step", "total_steps", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second",
        "seconds", "memory_bytes",
    }  # fmt: skip
    AutoModelForCausalLM.from_pretrained(result.model_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_stopped_training_resumes_to_the_same_weights(little_model: Path, tmp_path: Path) -> None:
    whole, _ = _train(little_model, tmp_path / "whole", _rows(), epochs=2)
    with pytest.raises(Stopped):
        _train(little_model, tmp_path / "run", _rows(), epochs=2, stop_at=3)
    resumed, _ = _train(little_model, tmp_path / "run", _rows(), epochs=2)
    assert resumed.resumed_from == 3
    one = AutoModelForCausalLM.from_pretrained(whole.model_dir).state_dict()
    other = AutoModelForCausalLM.from_pretrained(resumed.model_dir).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_end_token_is_a_target_and_the_prompt_is_not(little_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(little_model)
    example = ConversationEncoder(tokenizer).example(ASKED, "A wren.")
    assert tokenizer.decode(example.prompt_ids) == "<|user|>Name a bird.</s><|assistant|>"
    assert tokenizer.decode(example.completion_ids) == "A wren.</s>"


def test_a_raw_text_is_all_target_between_its_begin_and_end(little_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(little_model)
    example = ConversationEncoder(tokenizer).raw("<s>abc")
    assert example.prompt_ids == []
    assert tokenizer.decode(example.completion_ids) == "<s>abc</s>"


def test_a_long_row_is_truncated_and_one_with_a_too_long_prompt_is_skipped(little_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(little_model)
    rows = [*_rows(2), {"messages": ASKED, "completion": "y" * 90},
            {"messages": [{"role": "user", "content": "x" * 90}], "completion": "yes"}]  # fmt: skip
    examples, notes = encode_rows(tokenizer, rows, 64)
    assert len(examples) == 3
    assert len(examples[2].prompt_ids) + len(examples[2].completion_ids) == 64
    assert notes == (
        "1 of 4 rows were longer than 64 tokens and were truncated.",
        "1 of 4 rows had no target token within 64 tokens and were skipped. If many are, raise student.max_length.",
    )


def test_a_training_without_rows_raises_a_message(little_model: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no row to train on"):
        _train(little_model, tmp_path, [])


def test_a_missing_model_raises_a_message(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="could not be loaded"):
        _train(tmp_path / "nowhere", tmp_path / "out", _rows())


def test_a_row_that_the_template_refuses_is_skipped_and_named_unless_all_are(little_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(little_model)
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHAT
    )
    refused = {"messages": [{"role": "system", "content": "Be brief."}, *ASKED], "completion": "A wren."}
    examples, notes = encode_rows(tokenizer, [*_rows(2), refused], 64)
    assert len(examples) == 2
    (note,) = notes
    assert "1 of 3 rows were skipped" in note
    assert "refuses a conversation of system, user: no system turn" in note
    with pytest.raises(TrainingError, match="refuses a conversation of system, user"):
        encode_rows(tokenizer, [refused], 64)


@pytest.mark.parametrize(
    "kind",
    [
        "byte-level, no template", "byte-level, end of turn is not eos", "byte-level, no end token",
        "byte-level, prompt ends in a space", "SentencePiece, legacy", "SentencePiece, legacy, no template",
    ],
)  # fmt: skip
def test_a_trained_model_writes_what_it_was_taught_and_ends_where_it_was_taught_to(kind: str, tmp_path: Path) -> None:
    model = save_little_student(tmp_path / "base", tokenizer=tokenizer_of(kind))
    answers = {"Say one.": "Because the bridge was closed.", "Say two.": "12 birds, and 3.5.", "Say three.": "I do."}
    rows = [{"messages": [{"role": "user", "content": asked}], "completion": text} for asked, text in answers.items()]
    result, points = _train(
        model, tmp_path / "trained", rows * 4, learning_rate=1e-2, final_learning_rate=1e-3, epochs=100, batch_size=12,
        micro_batch_size=12,
    )  # fmt: skip
    assert points[-1]["loss"] < 0.05
    engine = TransformersEngine(result.model_dir)
    requests = [Request(asked, ({"role": "user", "content": asked},), 0) for asked in answers]
    written = {done.key: done for done in engine.generate(requests, Sampling(0, 1, 40))}
    assert {key: done.text for key, done in written.items()} == answers
    assert {done.finish_reason for done in written.values()} == {"stop"}


def test_dropout_is_set_for_training_and_not_saved(little_model: Path, tmp_path: Path) -> None:
    model, before = load_model(str(little_model), dtype=torch.float32, dropout=0.25)
    assert model.config.attention_dropout == 0.25
    assert before["attention_dropout"] == 0
    result, _ = _train(little_model, tmp_path, _rows(), dropout=0.25)
    assert AutoModelForCausalLM.from_pretrained(result.model_dir).config.attention_dropout == 0


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_a_schedule_runs_from_the_peak_to_exactly_the_floor(shape: str) -> None:
    factor = decay_to_floor(shape=shape, peak=1e-6, floor=1e-7, total_steps=100, warmup_ratio=0.1)
    values = [factor(step) * 1e-6 for step in range(100)]
    assert values[9] < values[10] == pytest.approx(1e-6)
    assert values[-1] == pytest.approx(1e-7)
    assert values[10:] == sorted(values[10:], reverse=True)


def test_a_constant_schedule_and_a_single_step_have_the_peak() -> None:
    steps = decay_to_floor(shape="constant", peak=1, floor=0, total_steps=1000, warmup_ratio=0.0, warmup_steps=150)
    assert [steps(step) for step in (0, 74, 149, 150, 999)] == pytest.approx([1 / 151, 75 / 151, 150 / 151, 1, 1])
    short = decay_to_floor(shape="constant", peak=1, floor=0, total_steps=10, warmup_ratio=0.0, warmup_steps=150)
    assert short(9) == pytest.approx(10 / 151)
    assert decay_to_floor(shape="constant", peak=1, floor=0, total_steps=5, warmup_ratio=0)(4) == 1
    assert decay_to_floor(shape="cosine", peak=1, floor=0, total_steps=1, warmup_ratio=0)(0) == 1


def test_only_a_sealed_checkpoint_of_the_same_training_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "resume" / "checkpoint-5"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("abc")
    assert not checkpoints.is_whole(folder, "key")
    checkpoints.seal(folder, "key")
    assert checkpoints.is_whole(folder, "key")
    assert checkpoints.latest(tmp_path, "key") == (folder, 5)
    assert not checkpoints.is_whole(folder, "other")
    (folder / "weights").write_text("ab")
    assert checkpoints.latest(tmp_path, "key") is None
    assert not folder.exists()


def test_a_model_is_saved_atomically(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        checkpoints.publish(tmp_path, {"key": "k"}, fails)
    assert not (tmp_path / "model").exists()
    assert checkpoints.finished(tmp_path, "k") is None
    checkpoints.publish(tmp_path, {"key": "k"}, lambda folder: (folder / "weights").write_text("all") and None)
    assert checkpoints.finished(tmp_path, "k") == {"key": "k"}
