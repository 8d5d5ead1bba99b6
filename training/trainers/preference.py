"""Preference training with losses of the DPO family, on TRL's ``DPOTrainer``.

Losses with a function in ``training.trainers.losses`` are computed by it, from log-probabilities summed over the
response's tokens; TRL computes the others. Reference log-probabilities are always computed before training, from the
same tokens, so they are never stale and no reference model is in memory during training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOConfig, DPOTrainer

from training.config import PreferenceConfig
from training.domain.loss_specs import LOSSES, LossSpec
from training.trainers import loading, loop, lora, losses
from training.trainers.batches import WEIGHT
from training.trainers.checkpoints import training_key
from training.trainers.encoding import encode_pairs
from training.trainers.pair_logps import pair_batch, shared_batch, shares_prompts, summed_logps
from training.trainers.reference import LogpsModel, reference_rows
from training.trainers.results import Report, Say, ShouldStop, TrainResult, say_nothing


class _PreferenceTrainer(loop.LoopMixin, DPOTrainer):
    """TRL's trainer for tokenized rows with reference log-probabilities, extended by the papers' losses.

    :meth:`compute_loss` computes the papers' losses and delegates TRL's own to the base class.
    """

    def __init__(self, *args: Any, spec: LossSpec, settings: Mapping[str, float], **kwargs: Any) -> None:
        """``settings`` holds the config values that the loss uses."""
        self.spec = spec
        self.settings = settings
        self.loss_function = None if spec.is_trl else losses.loss_function(spec)
        self._curves: dict[str, Tensor] = {}
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset  # already tokenized

    def _precompute_ref_logps(self, dataset: Any, *_: Any) -> Any:
        return dataset  # already computed, one column each

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Do nothing: checkpoints to resume from need no model card."""

    def items(self, batch: dict[str, Any]) -> Tensor:
        """Return the number of pairs that count."""
        return batch[WEIGHT].sum()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the summed losses of this part's pairs, divided by the number of pairs in the whole step."""
        weights = inputs[WEIGHT]
        total = weights.sum() if num_items_in_batch is None else num_items_in_batch
        if self.loss_function is not None:
            loss = (self._paper_losses(model, inputs) * weights).sum() / total
        else:
            theirs = {name: inputs[name] for name in _OF_TRL}
            loss = super().compute_loss(model, theirs) * (weights.sum() / total)
        names = ", ".join(str(pair_id) for pair_id in inputs["pair_ids"])
        return self.guard(loss, self.spec.trl_name or self.spec.name, f"pairs {names}")

    def _paper_losses(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Return the loss per pair, shape (pairs,)."""
        plain, weights = inputs["plain"], inputs[WEIGHT]
        policy = summed_logps(model, plain)
        reference = plain["ref_chosen_logps"], plain["ref_rejected_logps"]
        assert self.loss_function is not None
        per_pair: Tensor
        if self.spec.is_refined:
            delta = self._delta(model, inputs["augmented"])
            per_pair = self.loss_function(*policy, *reference, delta=delta, **self.settings)
            curves = {"rewards/augmented_margins": delta, "rewards/augmented_accuracies": (delta > 0).float()}
            self._accumulate(curves, weights)
        else:
            per_pair = self.loss_function(*policy, *reference, **self.settings)
        rewards = [self.beta * (now.detach() - then) for now, then in zip(policy, reference, strict=True)]
        self._accumulate(
            {
                "rewards/chosen": rewards[0],
                "rewards/rejected": rewards[1],
                "rewards/margins": rewards[0] - rewards[1],
                "rewards/accuracies": (rewards[0] > rewards[1]).float(),
            },
            weights,
        )
        return per_pair

    @torch.no_grad()
    def _delta(self, model: Any, augmented: dict[str, Tensor]) -> Tensor:
        """Return Δ under the current policy, without dropout (Yu et al., 2024, eq. 12)."""
        was_training = model.training
        model.eval()
        policy = summed_logps(model, augmented)
        model.train(was_training)
        reference = augmented["ref_chosen_logps"], augmented["ref_rejected_logps"]
        return losses.refinement_delta(*policy, *reference, beta=self.beta)

    def _accumulate(self, values: Mapping[str, Tensor], weights: Tensor) -> None:
        """Accumulate values and weights for the means of the next log."""
        for name, tensor in values.items():
            sums = torch.stack([(tensor.detach() * weights).sum(), weights.sum()])
            self._curves[name] = self._curves[name] + sums if name in self._curves else sums

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the papers' metrics since the last log, over the pairs of all processes."""
        for name, sums in self._curves.items():
            value, weight = self.accelerator.reduce(sums, reduction="sum").tolist()
            logs[name] = value / weight
        self._curves.clear()
        super().log(logs, start_time)


_OF_TRL = ("input_ids", "attention_mask", "completion_mask", "ref_chosen_logps", "ref_rejected_logps")


@dataclass(frozen=True)
class _Collate:
    """Collates rows: in TRL's format for TRL's losses; as ``plain`` and, on p⊕x, ``augmented`` for the papers'.

    In ``plain`` and ``augmented``, both responses can share one row with their prompt.
    """

    pad_token_id: int
    for_trl: bool
    share_plain: bool
    share_augmented: bool

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = {
            WEIGHT: torch.tensor([row[WEIGHT] for row in rows]),
            "tokens": sum(
                2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])
                for row in rows
                if row[WEIGHT]
            ),
            "pair_ids": [row["pair_id"] for row in rows],
        }
        if self.for_trl:
            return batch | self._side(rows, "prompt_ids", "ref", shared=False)
        batch["plain"] = self._side(rows, "prompt_ids", "ref", shared=self.share_plain)
        if "augmented_ids" in rows[0]:
            batch["augmented"] = self._side(rows, "augmented_ids", "augmented_ref", shared=self.share_augmented)
        return batch

    def _side(
        self, rows: Sequence[Mapping[str, Any]], prompt: str, reference: str, *, shared: bool
    ) -> dict[str, Tensor]:
        prompts, chosen, rejected = ([row[name] for row in rows] for name in (prompt, "chosen_ids", "rejected_ids"))
        batch = (shared_batch if shared else pair_batch)(prompts, chosen, rejected, self.pad_token_id)
        for name in ("chosen", "rejected"):
            batch[f"ref_{name}_logps"] = torch.tensor([row[f"{reference}_{name}_logps"] for row in rows])
        return batch


def _arguments(config: PreferenceConfig, *, output_dir: Path, seed: int, dtype: str, at_once: int) -> DPOConfig:
    spec = LOSSES[config.loss]
    return DPOConfig(
        **loop.trainer_arguments(config, output_dir=output_dir, seed=seed, dtype=dtype, at_once=at_once),
        loss_type=[spec.trl_name or "sigmoid"],  # unused if the loss has its own function
        beta=config.beta,
        **spec.trl_arguments,
        precompute_ref_log_probs=True,
        max_length=None,  # already truncated
        disable_dropout=config.dropout == 0,
    )


def train_preference(
    pairs: Sequence[Mapping[str, Any]],
    *,
    model: str,
    reference: str,
    output_dir: Path,
    config: PreferenceConfig,
    seed: int,
    report: Report,
    should_stop: ShouldStop,
    max_length: int = 1024,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    pause_at: int | None = None,
    store: Path | None = None,
    say: Say = say_nothing,
) -> TrainResult:
    """Train ``model`` on preference pairs against ``reference`` and publish the result at ``output_dir/model``.

    A pair is ``{"prompt": [messages], "chosen": [message], "rejected": [message], "pair_id": int}``, where chosen and
    rejected are assistant messages. ``training.domain.loss_specs`` lists which losses TRL computes. Rewards are
    β·log(π/π_ref) for every loss. With LoRA, the update is merged into the published model; with quantized weights, the
    reference is quantized too. Responses are truncated so that prompt and response have at most ``max_length`` tokens;
    truncated and skipped pairs are counted in the result's notes. ``store`` is the folder of cached reference
    log-probabilities; ``say`` receives messages about it.

    The same call resumes from the newest complete checkpoint in ``output_dir``. With ``pause_at``, a longer training
    pauses at that step and keeps the model of that step.

    Raises :class:`TrainingError` if the training cannot continue, and :class:`Stopped` after a requested stop, once a
    checkpoint is saved.
    """
    if config.chooses_lambda:
        raise ValueError("lam: auto must be resolved to a λ before training")
    key = training_key(
        kind="preference",
        pairs=list(pairs),
        model=model,
        reference=reference,
        config=config.model_dump(),
        seed=seed,
        max_length=max_length,
        dtype=dtype,
    )
    done = loop.already_finished(output_dir, key, pause_at)
    if done:
        return done
    tokenizer = loading.load_tokenizer(model, trust_remote_code=trust_remote_code)
    spec = LOSSES[config.loss]
    refined = spec.is_refined
    encoded, notes = encode_pairs(
        tokenizer, pairs, max_length=max_length, augment=refined, refinement_prompt=config.refinement_prompt
    )
    adapter, quantization = lora.settings_of(config)
    # Keep the configured parts for TRL's losses: some of them depend on the whole part.
    at_once = config.micro_batch_size
    if not spec.is_trl:
        at_once = loop.rows_at_once(config, [pair.shared_tokens for pair in encoded])
    arguments = _arguments(config, output_dir=output_dir, seed=seed, dtype=dtype, at_once=at_once)
    torch.manual_seed(seed)
    rows = reference_rows(
        LogpsModel(reference, dtype, tokenizer.pad_token_id, 2 * at_once, trust_remote_code, quantization),
        encoded,
        augment=refined,
        store=store,
        say=say,
        should_stop=should_stop,
    )
    policy, dropout_before = loading.load_model(
        model,
        dtype=loading.weight_dtype(dtype),
        dropout=config.dropout,
        trust_remote_code=trust_remote_code,
        quantization_config=quantization,
    )
    shares = not spec.is_trl and shares_prompts(policy, encoded, tokenizer.pad_token_id)
    # With dropout, a shared prompt would also share its dropout mask, unlike two rows; Δ is computed without dropout.
    noisy = config.dropout > 0 or (config.lora is not None and config.lora.dropout > 0)
    trainer = _PreferenceTrainer(
        model=policy,
        args=arguments,
        train_dataset=Dataset.from_dict({"place": range(len(rows))}),  # the rows themselves: see loop.prepare
        data_collator=_Collate(tokenizer.pad_token_id, spec.is_trl, shares and not noisy, shares),
        processing_class=tokenizer,
        peft_config=adapter,
        spec=spec,
        settings={name: getattr(config, name) for name in spec.fields},
    )
    lengths = [pair.shared_tokens if shares and not noisy else pair.length for pair in encoded]
    loop.prepare(trainer, config, rows, lengths, by_length=not spec.is_trl)

    def save(folder: Path, weights: dict[str, Any] | None) -> None:
        final = trainer.accelerator.unwrap_model(trainer.model)
        if adapter is not None:
            final, weights = lora.merged(final, weights, model, dtype=dtype, trust_remote_code=trust_remote_code), None
        loading.restore_dropout(final, dropout_before)
        loading.set_end_tokens(final, tokenizer)
        final.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)

    return loop.run(
        trainer,
        output_dir=output_dir,
        key=key,
        report=report,
        should_stop=should_stop,
        save=save,
        notes=loading.template_note(tokenizer) + notes,
        pause_at=pause_at,
    )
