"""Supervised fine-tuning of M0 to M1 on IFT and EFT rows, with loss on target tokens only.

Source: Yuan et al. (2024), section 3.1.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments
from trl.trainer.utils import add_fused_lm_head

from training.config import SFTConfig
from training.conversation.encoder import ConversationEncoder, Example
from training.conversation.frame import ConversationRefused
from training.trainers import loading, loop
from training.trainers.batches import WEIGHT
from training.trainers.checkpoints import training_key
from training.trainers.encoding import refused_notes
from training.trainers.results import Report, ShouldStop, TrainingError, TrainResult
from training.trainers.targets import target_logps


class _SFTTrainer(loop.LoopMixin, Trainer):
    """Trainer with weighted cross-entropy over the target tokens, averaged over the whole accumulated batch."""

    def items(self, batch: dict[str, Any]) -> Tensor:
        """Return the summed weights of the target tokens; the first token of a row is never a target."""
        return batch["weights"][:, 1:].sum()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the weighted negative log-likelihood, divided by the summed weights of the whole step."""
        weights = inputs["weights"]
        logps = target_logps(model, inputs["input_ids"], weights > 0)
        kept = weights[:, 1:][weights[:, 1:] > 0]
        total = kept.sum() if num_items_in_batch is None else num_items_in_batch
        names = ", ".join(str(number) for number in inputs["numbers"])
        return self.guard(-(logps * kept).sum() / total, "supervised fine-tuning", f"rows {names}")


def _collate(rows: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, Any]:
    """Right-pad rows to input_ids and weights, each (batch, length); weights are 0 on prompt and padding."""
    width = max(len(row["prompt_ids"]) + len(row["completion_ids"]) for row in rows)
    ids = torch.full((len(rows), width), pad_token_id, dtype=torch.long)
    weights = torch.zeros((len(rows), width))
    tokens = 0
    for place, row in enumerate(rows):
        prompt, end = len(row["prompt_ids"]), len(row["prompt_ids"]) + len(row["completion_ids"])
        ids[place, :end] = torch.tensor(row["prompt_ids"] + row["completion_ids"])
        weights[place, prompt:end] = torch.tensor(row["weights"]) * row[WEIGHT]
        tokens += end if row[WEIGHT] else 0
    return {"input_ids": ids, "weights": weights, "tokens": tokens, "numbers": [row["number"] for row in rows]}


def encode_rows(
    tokenizer: Any, rows: Sequence[Mapping[str, Any]], max_length: int
) -> tuple[list[Example], tuple[str, ...]]:
    """Tokenize rows. Returns the examples, and notes on truncated and skipped rows.

    A row longer than ``max_length`` tokens is truncated at its end. It is skipped if its prompt alone is that long, or
    if the chat template refuses it. A completion that generation cut (``cut``) gets no end token. Raises
    :class:`TrainingError` if no row is left.
    """
    encoder = ConversationEncoder(tokenizer)
    kept: list[Example] = []
    refused: list[str] = []
    cut = left_out = 0
    for row in rows:
        try:
            example = _encoded(encoder, row)
        except ConversationRefused as error:
            refused.append(str(error))
            continue
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
        notes.append(f"{cut} of {len(rows)} rows were longer than {max_length} tokens and were truncated.")
    if left_out:
        notes.append(
            f"{left_out} of {len(rows)} rows had no target token within {max_length} tokens and were skipped. If "
            "many are, raise student.max_length."
        )
    notes += refused_notes(refused, len(rows), "rows")
    if not kept:
        raise TrainingError(
            "There is no row to train on: "
            + (" ".join(notes) if notes else "the data sets are empty. Import data first.")
        )
    return kept, tuple(notes)


def _encoded(encoder: ConversationEncoder, row: Mapping[str, Any]) -> Example:
    if not row["messages"]:
        return encoder.raw(row["completion"])
    return encoder.example(row["messages"], row["completion"], ended=not row.get("cut"), spans=row.get("weights") or ())


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
    pause_at: int | None = None,
    section: str = "sft",
) -> TrainResult:
    """Fine-tune ``model`` on the rows and publish the result at ``output_dir/model``.

    A row is ``{"messages": [...], "completion": str, "weights": [[start, end, weight], ...], "cut": bool}``; the last
    two are optional. The loss covers the completion's tokens. The optional ``weights`` apply to tokens that overlap the
    characters start to end of the completion; other tokens have weight 1. Without ``messages``, the row is a raw text
    with loss on every token. Truncated and skipped rows (:func:`encode_rows`) are counted in the
    result's notes. ``section`` is the config section named in errors.

    The same call resumes from the newest complete checkpoint in ``output_dir``. With ``pause_at``, a longer training
    pauses at that step and keeps the model of that step.

    Raises :class:`TrainingError` if the training cannot continue, and :class:`Stopped` after a requested stop, once a
    checkpoint is saved.
    """
    key = training_key(
        kind="sft",
        rows=list(rows),
        model=model,
        config=config.model_dump(),
        seed=seed,
        max_length=max_length,
        dtype=dtype,
    )
    done = loop.already_finished(output_dir, key, pause_at)
    if done:
        return done
    tokenizer = loading.load_tokenizer(model, trust_remote_code=trust_remote_code)
    examples, notes = encode_rows(tokenizer, rows, max_length)
    lengths = [len(example.prompt_ids) + len(example.completion_ids) for example in examples]
    at_once = loop.rows_at_once(config, lengths)
    arguments = loop.trainer_arguments(config, output_dir=output_dir, seed=seed, dtype=dtype, at_once=at_once)
    torch.manual_seed(seed)
    policy, dropout_before = loading.load_model(
        model, dtype=loading.weight_dtype(dtype), dropout=config.dropout, trust_remote_code=trust_remote_code
    )
    add_fused_lm_head(policy, outputs=("log_probs",))
    trainer = _SFTTrainer(
        model=policy,
        args=TrainingArguments(**arguments),
        train_dataset=examples,
        data_collator=lambda batch: _collate(batch, tokenizer.pad_token_id),
        processing_class=tokenizer,
    )
    rows_of_tokens = [asdict(example) | {"number": number} for number, example in enumerate(examples)]
    loop.prepare(trainer, config, rows_of_tokens, lengths)

    def save(folder: Path, weights: dict[str, Any] | None) -> None:
        final = trainer.accelerator.unwrap_model(trainer.model)
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
