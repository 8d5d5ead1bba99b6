"""Preference training: losses as in the papers, fresh reference log-probabilities, stop and resume."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.utils import add_fused_lm_head

from training.config import LoraConfig, PreferenceConfig
from training.domain.templates import augment_query
from training.trainers import loading, lora, losses
from training.trainers.pair_logps import pair_batch, summed_logps
from training.trainers.preference import train_preference
from training.trainers.results import Stopped, TrainingError, TrainResult
from training.trainers.targets import built_logps, fused_logps

Point = dict[str, Any]


def _pairs(count: int = 12) -> list[dict[str, Any]]:
    return [
        {
            "prompt": [{"role": "user", "content": f"Say {n} {'more ' * (n % 3)}"}],
            "chosen": [{"role": "assistant", "content": f"yes {n}"}],
            "rejected": [{"role": "assistant", "content": f"no, not {n * n}"}],
            "pair_id": n,
        }
        for n in range(count)
    ]


def _config(**changes: Any) -> PreferenceConfig:
    settings: dict[str, Any] = {
        "learning_rate": 3e-3, "final_learning_rate": 3e-4, "batch_size": 4, "micro_batch_size": 4, "epochs": 1,
    }  # fmt: skip
    return PreferenceConfig(**(settings | changes))


@pytest.fixture
def train(little_model: Path, tmp_path: Path) -> Callable[..., tuple[TrainResult, list[Point]]]:
    """Train the little model."""

    def run(
        config: PreferenceConfig, *, name: str = "run", stop_at: int = 0, **arguments: Any
    ) -> tuple[TrainResult, list[Point]]:
        points: list[Point] = []
        settings: dict[str, Any] = {
            "pairs": _pairs(), "model": str(little_model), "reference": str(little_model), "seed": 3, "max_length": 512,
        }  # fmt: skip
        settings |= arguments
        result = train_preference(
            settings.pop("pairs"),
            output_dir=tmp_path / name,
            config=config,
            report=points.append,
            should_stop=lambda: (points[-1]["step"] if points else 0) + 1 == stop_at,
            **settings,
        )
        return result, points

    return run


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _logps(model: Any, tokenizer: Any, prompt: str, answer: str) -> torch.Tensor:
    """Compute log-probabilities directly from the model's logits, one sequence at a time."""
    turn = [{"role": "user", "content": prompt}]
    start = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*turn, {"role": "assistant", "content": answer}], tokenize=False)
    first = len(tokenizer(start, add_special_tokens=False)["input_ids"])
    ids = torch.tensor([tokenizer(whole, add_special_tokens=False)["input_ids"]])
    logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
    return logps[first - 1 :].sum()[None]


@pytest.mark.parametrize("loss", ["dpo", "ipo", "sr_dpo", "sr_ipo"])
def test_training_minimises_the_papers_loss(
    loss: str, train: Callable[..., Any], little_model: Path, tmp_path: Path
) -> None:
    """The reported loss of step 2 equals the loss functions, computed per pair from the weights after step 1."""
    config = _config(loss=loss, batch_size=12, micro_batch_size=12, epochs=3, schedule="constant", optimizer="rmsprop")
    with pytest.raises(Stopped):
        train(config, stop_at=1)
    _, points = train(config, name="whole")
    tokenizer = AutoTokenizer.from_pretrained(little_model)
    policy = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "resume" / "checkpoint-1")
    reference = AutoModelForCausalLM.from_pretrained(little_model)
    expected = []
    with torch.no_grad():
        for pair in _pairs():
            x, chosen, rejected = (pair[key][0]["content"] for key in ("prompt", "chosen", "rejected"))

            def four(query: str, chosen: str = chosen, rejected: str = rejected) -> list[torch.Tensor]:
                return [
                    _logps(model, tokenizer, query, answer)
                    for model in (policy, reference)
                    for answer in (chosen, rejected)
                ]

            more: dict[str, Any] = {}
            if loss.startswith("sr_"):
                more = {"delta": losses.refinement_delta(*four(augment_query(x)), beta=0.1), "lam": config.lam}
            expected.append(getattr(losses, f"{loss}_loss")(*four(x), beta=0.1, **more))
    assert points[0]["loss"] == pytest.approx(math.log(2) if "dpo" in loss else 25, rel=1e-5)
    assert points[1]["loss"] == pytest.approx(torch.cat(expected).mean().item(), rel=1e-5)


def test_dpo_gives_the_loss_series_of_the_trainers_own_sigmoid_loss(train: Callable[..., Any]) -> None:
    _, ours = train(_config(epochs=2), name="ours")
    _, theirs = train(_config(epochs=2, loss="trl:sigmoid"), name="theirs")
    for name in ("loss", "chosen_reward", "rejected_reward", "margin", "accuracy"):
        assert [point[name] for point in ours] == pytest.approx([point[name] for point in theirs], abs=1e-5)


def test_summed_ipo_and_the_token_averaged_one_are_two_losses(train: Callable[..., Any]) -> None:
    _, summed = train(_config(loss="ipo"), name="summed")
    _, averaged = train(_config(loss="trl:ipo"), name="averaged")
    assert summed[0]["loss"] == pytest.approx(25)
    assert averaged[0]["loss"] == pytest.approx(25)
    assert summed[-1]["loss"] != pytest.approx(averaged[-1]["loss"], rel=1e-3)


@pytest.mark.parametrize(
    "loss", ["hinge", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero",
             "apo_down", "discopop"],
)  # fmt: skip
def test_every_other_loss_of_the_trainer_runs_by_its_name(loss: str, train: Callable[..., Any]) -> None:
    result, points = train(_config(loss=f"trl:{loss}"))
    assert result.steps == 3
    assert math.isfinite(points[-1]["loss"])


def test_both_ways_to_log_probabilities_agree(little_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(little_model)
    add_fused_lm_head(model, outputs=("log_probs",))
    prompts, chosen, rejected = [[5, 6, 7, 8], [9]], [[10, 11], [12, 13, 14]], [[15], [16, 17]]
    batch = pair_batch(prompts, chosen, rejected, 0)
    targets = batch["completion_mask"]
    fused, built = (way(model, batch["input_ids"], targets) for way in (fused_logps, built_logps))
    assert torch.allclose(fused, built, atol=1e-5)
    together = summed_logps(model, batch)
    alone = summed_logps(model, pair_batch(prompts[1:], chosen[1:], rejected[1:], 0))
    assert torch.allclose(torch.stack(alone)[:, 0], torch.stack(together)[:, 1], atol=1e-5)


def test_the_learning_rate_ends_exactly_at_its_floor(train: Callable[..., Any]) -> None:
    _, points = train(_config(epochs=3))
    assert points[0]["learning_rate"] == pytest.approx(3e-3)
    assert points[-1]["learning_rate"] == pytest.approx(3e-4)


def test_checkpointing_gradients_gives_the_same_losses(train: Callable[..., Any]) -> None:
    _, without = train(_config(loss="sr_dpo", epochs=2), name="without")
    _, points = train(_config(loss="sr_dpo", epochs=2, gradient_checkpointing=True), name="with")
    for name in ("loss", "grad_norm"):
        assert [point[name] for point in points] == pytest.approx([point[name] for point in without], abs=1e-5)


def test_a_tokenizer_without_a_chat_template_gets_the_plain_one_with_a_note(
    train: Callable[..., Any], little_model: Path, tmp_path: Path
) -> None:
    bare = shutil.copytree(little_model, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    result, _ = train(_config(), model=str(bare))
    assert any("has no chat template of its own, so the plain one is used" in note for note in result.notes)
    result, _ = train(_config(), name="own")
    assert result.notes == ()


def test_accumulation_gives_the_same_weights_as_one_large_batch(train: Callable[..., Any]) -> None:
    whole, _ = train(_config(), name="whole")
    parts, _ = train(_config(micro_batch_size=2), name="parts")
    one, other = _weights(whole.model_dir), _weights(parts.model_dir)
    assert all(torch.allclose(one[name], other[name], atol=2e-4) for name in one)


def test_a_stopped_training_resumes_to_the_same_weights(train: Callable[..., Any], tmp_path: Path) -> None:
    whole, _ = train(_config(epochs=2, dropout=0.1), name="whole")
    with pytest.raises(Stopped) as stopped:
        train(_config(epochs=2, dropout=0.1), stop_at=2)
    assert stopped.value.step == 2
    assert not (tmp_path / "run" / "model").exists()
    resumed, points = train(_config(epochs=2, dropout=0.1))
    assert (resumed.resumed_from, resumed.steps) == (2, whole.steps)
    assert [point["step"] for point in points] == [1, 2, 3, 4, 5, 6]
    one, other = _weights(whole.model_dir), _weights(resumed.model_dir)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_stops_before_the_first_step(train: Callable[..., Any]) -> None:
    with pytest.raises(Stopped) as stopped:
        train(_config(micro_batch_size=1), stop_at=1)
    assert stopped.value.step == 0
    assert str(stopped.value) == "stopped before the first step"


def test_a_partial_checkpoint_is_never_used(train: Callable[..., Any], tmp_path: Path) -> None:
    config = _config(epochs=2, save_steps=1)
    with pytest.raises(Stopped):
        train(config, stop_at=3)
    newest = tmp_path / "run" / "resume" / "checkpoint-3"
    (newest / "optimizer.pt").write_bytes(b"cut")
    resumed, _ = train(config)
    assert resumed.resumed_from == 2


def test_a_checkpoint_of_another_config_is_never_used(train: Callable[..., Any]) -> None:
    with pytest.raises(Stopped):
        train(_config(epochs=2), stop_at=2)
    other, _ = train(_config(epochs=2, beta=0.2))
    assert other.resumed_from == 0


def test_a_finished_training_is_not_repeated(train: Callable[..., Any]) -> None:
    first, _ = train(_config())
    again, points = train(_config())
    assert again == first
    assert points == []


def test_the_published_folder_contains_the_model_only(train: Callable[..., Any], tmp_path: Path) -> None:
    result, _ = train(_config(dropout=0.2))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model"]
    assert json.loads((result.model_dir / "config.json").read_text())["attention_dropout"] == 0
    assert AutoTokenizer.from_pretrained(result.model_dir).chat_template


def test_the_reference_can_be_another_model(train: Callable[..., Any]) -> None:
    first, _ = train(_config(epochs=2), name="first")
    _, same = train(_config(), name="same", model=str(first.model_dir), reference=str(first.model_dir))
    _, other = train(_config(), name="other", model=str(first.model_dir))
    assert same[0]["margin"] == pytest.approx(0, abs=1e-5)
    assert other[0]["margin"] > 0.01


def test_lora_publishes_a_merged_model(train: Callable[..., Any], little_model: Path) -> None:
    result, _ = train(_config(lora=LoraConfig(rank=4, alpha=8, dropout=0), epochs=2))
    before, after = _weights(little_model), _weights(result.model_dir)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])


def test_the_reference_of_a_policy_with_quantized_weights_is_quantized(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The weights are rounded here as quantization does; the test below uses 4 bits on a GPU."""
    load, settings_of = loading.load_model, lora.settings_of

    def rounded(*args: Any, quantization_config: Any = None, **kwargs: Any) -> Any:
        model, dropout = load(*args, **kwargs)
        if quantization_config is not None:
            for weight in model.parameters():
                weight.data = (weight.data * 16).round() / 16
        return model, dropout

    monkeypatch.setattr(loading, "load_model", rounded)
    monkeypatch.setattr(lora, "settings_of", lambda config: (settings_of(config)[0], "rounded to sixteenths"))
    store = tmp_path / "store"
    _, points = train(_config(lora=LoraConfig(rank=4, alpha=8, dropout=0)), store=store)
    assert points[0]["margin"] == pytest.approx(0, abs=1e-6)
    monkeypatch.undo()
    _, plain = train(_config(lora=LoraConfig(rank=4, alpha=8, dropout=0)), name="plain", store=store)
    assert plain[0]["margin"] == pytest.approx(0, abs=1e-6)  # the store keeps the two references apart


@pytest.mark.gpu
def test_qlora_has_no_margin_at_the_first_step(train: Callable[..., Any]) -> None:
    pytest.importorskip("bitsandbytes")
    _, points = train(_config(lora=LoraConfig(rank=4, alpha=8, dropout=0, quantize_4bit=True)), dtype="bfloat16")
    assert points[0]["margin"] == pytest.approx(0, abs=1e-3)


def test_a_training_without_pairs_raises_a_message(train: Callable[..., Any]) -> None:
    with pytest.raises(TrainingError, match="There are no preference pairs to train on"):
        train(_config(), pairs=[])


def test_empty_pairs_and_too_long_prompts_are_counted_and_skipped(train: Callable[..., Any]) -> None:
    same, long, cut = _pairs(3)
    same["rejected"] = same["chosen"]
    long["prompt"] = [{"role": "user", "content": "x" * 300}]
    cut["chosen"] = [{"role": "assistant", "content": "y" * 300}]
    result, _ = train(_config(), pairs=[*_pairs(8), same, long, cut], max_length=120)
    assert result.notes == (
        "1 of 11 pairs were longer than 120 tokens and were truncated.",
        "1 of 11 pairs had a prompt of 120 tokens or more and were skipped.",
        "1 of 11 pairs had an empty response or two equal ones and were skipped.",
    )


def test_a_nan_loss_stops_the_training_at_its_step(
    train: Callable[..., Any], little_model: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(little_model)
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    broken = tmp_path / "broken"
    model.save_pretrained(broken)
    AutoTokenizer.from_pretrained(little_model).save_pretrained(broken)
    with pytest.raises(TrainingError, match=r"The loss became nan at step 1 \(dpo\), in the batch of pairs \d+, \d+"):
        train(_config(), model=str(broken))


@pytest.mark.parametrize("loss", ["dpo", "sr_dpo", "trl:sigmoid"])
def test_every_step_is_reported_with_the_metrics_of_its_loss(loss: str, train: Callable[..., Any]) -> None:
    _, points = train(_config(epochs=4, loss=loss))
    assert [point["step"] for point in points] == list(range(1, 13))
    names = {
        "step", "total_steps", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "seconds",
        "memory_bytes", "chosen_reward", "rejected_reward", "margin", "accuracy", "kl",
    }  # fmt: skip
    assert set(points[-1]) == (names | {"augmented_margin", "augmented_accuracy"} if loss == "sr_dpo" else names)
    last = points[-1]
    assert last["margin"] == pytest.approx(last["chosen_reward"] - last["rejected_reward"], abs=1e-6)
    assert last["kl"] == pytest.approx(-(last["chosen_reward"] + last["rejected_reward"]) / 0.2, abs=1e-6)
    assert last["memory_bytes"] > 1e8
    assert all(one["seconds"] < other["seconds"] for one, other in pairwise(points))
    assert last["tokens"] == 4 * points[2]["tokens"]


def test_a_resumed_training_reports_earlier_steps_and_continues_the_counts(train: Callable[..., Any]) -> None:
    with pytest.raises(Stopped):
        train(_config(epochs=2, loss="sr_ipo"), stop_at=4)
    resumed, points = train(_config(epochs=2, loss="sr_ipo"))
    whole, undisturbed = train(_config(epochs=2, loss="sr_ipo"), name="whole")
    assert [point["step"] for point in points] == [1, 2, 3, 4, 5, 6]
    for name in ("loss", "margin", "augmented_accuracy", "grad_norm", "kl", "learning_rate", "tokens"):
        assert [point[name] for point in points] == pytest.approx([point[name] for point in undisturbed], rel=1e-5)
    assert all(one["seconds"] < other["seconds"] for one, other in pairwise(points))
    assert (resumed.resumed_from, resumed.tokens) == (4, whole.tokens)
    assert resumed.loss == pytest.approx(whole.loss, rel=1e-5)


def test_a_foreign_checkpoint_trains(models_folder: Path, train: Callable[..., Any]) -> None:
    foreign = str(models_folder / "tiny-lm")
    result, points = train(_config(loss="sr_dpo", batch_size=8), pairs=_pairs(8), model=foreign, reference=foreign)
    assert result.steps == 1
    assert points[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
