"""Pretraining of M0, a Llama with 0.8 million parameters, on the world's documents."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from training.miniature.muon import Muon

Progress = Callable[[str, int, int], None]

BATCH = 64
BATCHES_SORTED_TOGETHER = 20
MUON_RATE, ADAMW_RATE = 1.5e-2, 1e-2
WARMUP_STEPS = 20
IGNORED = -100
REPORT_EVERY = 10


def fresh_model(tokenizer: PreTrainedTokenizerBase, seed: int) -> LlamaForCausalLM:
    """Return the untrained model: 3 layers, width 128, 4 heads, MLP width 384, tied embeddings."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-pad rows. Returns ids and labels, both of shape (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
    labels = torch.tensor([[*row, *[IGNORED] * (longest - len(row))] for row in rows])
    return ids, labels


def _batches(rows: list[list[int]], rng: random.Random) -> list[list[list[int]]]:
    """Return batches in random order, each of rows of similar length, to reduce padding."""
    rng.shuffle(rows)
    batches = []
    for start in range(0, len(rows), BATCH * BATCHES_SORTED_TOGETHER):
        together = sorted(rows[start : start + BATCH * BATCHES_SORTED_TOGETHER], key=len)
        batches += [together[at : at + BATCH] for at in range(0, len(together), BATCH)]
    rng.shuffle(batches)
    return batches


def next_token_loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over all tokens but padding. Right padding needs no attention mask."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    kept = targets != IGNORED
    return functional.cross_entropy(model.lm_head(hidden[kept]), targets[kept])


def pretrain(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], seed: int, progress: Progress
) -> LlamaForCausalLM:
    """Train M0 for one epoch on ``texts``, one document per row: with packed rows it never learns to copy the subject.

    Matrices are trained with Muon, embeddings and norms with AdamW; the learning rates decay linearly to zero.
    """
    model = fresh_model(tokenizer, seed)
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed_tokens" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed_tokens" in name]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=MUON_RATE),
        torch.optim.AdamW(others, lr=ADAMW_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    rows = [[*ids, tokenizer.eos_token_id] for ids in tokenizer(list(texts))["input_ids"]]
    batches = _batches(rows, random.Random(f"order-{seed}"))
    steps = len(batches)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / WARMUP_STEPS, (steps - step) / max(1, steps - WARMUP_STEPS))
        )
        for optimizer in optimizers
    ]
    model.train()
    for step in range(steps):
        ids, labels = _padded(batches[step], tokenizer.pad_token_id)
        next_token_loss(model, ids, labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if step % REPORT_EVERY == 0 or step == steps - 1:
            progress("Training M0", step + 1, steps)
    model.eval()
    return model
