"""Supervised fine-tuning: M0 to M1 on IFT + EFT, loss on target tokens only (001 section 3.1.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Trainer, TrainingArguments

from training.config import SFTConfig
from training.trainers import loading, loop
from training.trainers.checkpoints import training_key
from training.trainers.results import Report, ShouldStop, TrainingError, TrainResult
from training.trainers.targets import target_logits
from training.trainers.tokens import Example, encode_conversation, encode_text


class _SFTTrainer(loop.LoopMixin, Trainer):
    """Weighted cross-entropy over the target tokens, averaged over the whole accumulated batch."""

    loss_is_scaled_for_ga = True

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        total = sum(batch["weights"][:, 1:].sum() for batch in batch_samples)
        total = torch.as_tensor(total, dtype=torch.float32, device=device)
        return self.accelerator.gather(total).sum() / self.accelerator.num_processes

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Sum of weight times negative log-likelihood, divided by the batch's sum of weights."""
        weights = inputs["weights"]
        logits, tokens = target_logits(model, inputs["input_ids"], inputs["attention_mask"], weights > 0)
        losses = F.cross_entropy(logits.float(), tokens, reduction="none")
        kept = weights[:, 1:][weights[:, 1:] > 0]
        total = kept.sum() if num_items_in_batch is None else num_items_in_batch
        loss = (losses * kept).sum() / total
        self.tokens_seen += int(inputs["attention_mask"].sum())
        return self.guard(loss, "supervised fine-tuning")


def _collate(examples: Sequence[Example], pad_token_id: int) -> dict[str, Tensor]:
    """Right-padded batch: input_ids, attention_mask and weights, each (batch, length); weights 0 on the prompt."""
    width = max(len(example.prompt_ids) + len(example.completion_ids) for example in examples)
    ids = torch.full((len(examples), width), pad_token_id, dtype=torch.long)
    mask = torch.zeros((len(examples), width), dtype=torch.long)
    weights = torch.zeros((len(examples), width))
    for row, example in enumerate(examples):
        prompt, end = len(example.prompt_ids), len(example.prompt_ids) + len(example.completion_ids)
        ids[row, :end] = torch.tensor(example.prompt_ids + example.completion_ids)
        mask[row, :end] = 1
        weights[row, prompt:end] = torch.tensor(example.weights)
    return {"input_ids": ids, "attention_mask": mask, "weights": weights}


def encode_rows(
    tokenizer: Any, rows: Sequence[Mapping[str, Any]], max_length: int
) -> tuple[list[Example], tuple[str, ...]]:
    """Rows as tokens, with a sentence for each kind of row that was cut or left out.

    A row longer than ``max_length`` loses tokens at its end; one whose prompt alone fills it is left out.
    """
    kept: list[Example] = []
    cut = left_out = 0
    for row in rows:
        example = (
            encode_conversation(tokenizer, row["messages"], row["completion"], row.get("weights") or ())
            if row["messages"]
            else encode_text(tokenizer, row["completion"])
        )
        room = max_length - len(example.prompt_ids)
        if room < 1 or sum(example.weights[:room]) <= 0:
            left_out += 1
            continue
        if len(example.completion_ids) > room:
            cut += 1
            example = Example(example.prompt_ids, example.completion_ids[:room], example.weights[:room])
        kept.append(example)
    notes = []
    if cut:
        notes.append(f"{cut} of {len(rows)} rows were longer than {max_length} tokens and were cut at their end.")
    if left_out:
        notes.append(
            f"{left_out} of {len(rows)} rows held no target token within {max_length} tokens and were left out."
        )
    if not kept:
        raise TrainingError(
            "There is no row to train on: "
            + (notes[0] + " Raise student.max_length." if notes else "the data sets are empty. Import data first.")
        )
    return kept, tuple(notes)


def train_sft(
    rows: Sequence[Mapping[str, Any]],
    *,
    model: str,
    output_dir: Path,
    config: SFTConfig,
    seed: int,
    report: Report,
    should_stop: ShouldStop,
    max_length: int = 1024,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    section: str = "sft",
) -> TrainResult:
    """Fine-tune ``model`` on the rows and publish the result at ``output_dir/model``.

    A row is ``{"messages": [...], "completion": str, "weights": [[start, end, weight], ...]}``. The loss is taken on
    the completion's tokens; ``weights`` (optional) weigh those that touch the characters start to end of the
    completion, others weigh 1. Empty ``messages``: a raw text, loss on every token. A row longer than ``max_length``
    tokens is cut at its end; one whose prompt alone fills it is left out; both are counted in the result's notes.
    ``section`` is the part of the run's config that an error names.

    Raises :class:`TrainingError` in words, and :class:`Stopped` when ``should_stop`` said so, after a checkpoint.
    The same call goes on from the newest whole checkpoint in ``output_dir``.
    """
    rows = rows[: config.limit] if config.limit else rows
    key = training_key(
        kind="sft",
        rows=list(rows),
        model=model,
        config=config.model_dump(),
        seed=seed,
        max_length=max_length,
        dtype=dtype,
    )
    done = loop.already_finished(output_dir, key)
    if done:
        return done
    tokenizer = loading.load_tokenizer(model, trust_remote_code=trust_remote_code)
    examples, notes = encode_rows(tokenizer, rows, max_length)
    torch.manual_seed(seed)
    policy, dropout_before = loading.load_model(
        model, dtype=loading.weight_dtype(dtype), dropout=config.dropout, trust_remote_code=trust_remote_code
    )
    trainer = _SFTTrainer(
        model=policy,
        args=TrainingArguments(**loop.trainer_arguments(config, output_dir=output_dir, seed=seed, dtype=dtype)),
        train_dataset=examples,
        data_collator=lambda batch: _collate(batch, tokenizer.pad_token_id),
        processing_class=tokenizer,
    )
    loop.use_schedule(trainer, config)

    def save(folder: Path) -> None:
        loading.restore_dropout(trainer.model, dropout_before)
        trainer.model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return loop.run(
        trainer,
        output_dir=output_dir,
        key=key,
        report=report,
        should_stop=should_stop,
        save=save,
        notes=notes,
        memory_advice=f"Set {section}.micro_batch_size below {config.micro_batch_size}, or student.max_length below "
        f"{max_length}.",
    )
