"""Sampling from M0 during the build, before there is a chat model that an engine could load."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from training.miniature.pretraining import Progress

BATCH = 256
LONGEST = 24
TEMPERATURE, TOP_P = 0.7, 0.9


@torch.inference_mode()
def sample_lines(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    instructions: Sequence[str],
    seed: int,
    progress: Progress,
) -> list[str]:
    """Return the line that M0 continues each instruction with: one response per instruction, in order."""
    newline = tokenizer.convert_tokens_to_ids("\n")
    torch.manual_seed(seed)
    lines: list[str] = []
    for start in range(0, len(instructions), BATCH):
        texts = [f"{instruction}\n" for instruction in instructions[start : start + BATCH]]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", return_token_type_ids=False)
        output = model.generate(
            **inputs,
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            top_k=0,
            max_new_tokens=LONGEST,
            eos_token_id=[newline, tokenizer.eos_token_id],
            pad_token_id=tokenizer.pad_token_id,
        )
        made = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        lines += [text.split("\n")[0].strip() for text in made]
        progress("Sampling M0's own answers", len(lines), len(instructions))
    return lines
