"""Low-rank adapters: their peft configuration, and merging the trained update into the model."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import torch

from training.config import PreferenceConfig
from training.trainers import loading
from training.trainers.results import TrainingError


def settings_of(config: PreferenceConfig) -> tuple[Any, Any]:
    """Return (peft config, quantization config), each ``None`` if it is disabled."""
    if config.lora is None:
        return None, None
    from peft import LoraConfig

    adapter = LoraConfig(
        r=config.lora.rank,
        lora_alpha=int(config.lora.alpha),
        lora_dropout=config.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    if not config.lora.quantize_4bit:
        return adapter, None
    if loading.use_cpu():
        raise TrainingError("4-bit weights need a CUDA GPU. Set training.lora.quantize_4bit to false.")
    from transformers import BitsAndBytesConfig

    return adapter, BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )


def merged(trained: Any, weights: dict[str, Any] | None, model: str, *, dtype: str, trust_remote_code: bool) -> Any:
    """Load the base model again in full precision and merge the trained update into it.

    Merging into the 4-bit weights would lose most of the update.
    """
    from peft import PeftModel

    with TemporaryDirectory() as adapter:
        trained.save_pretrained(adapter, state_dict=weights)
        base, _ = loading.load_model(model, dtype=loading.weight_dtype(dtype), trust_remote_code=trust_remote_code)
        return PeftModel.from_pretrained(base, adapter).merge_and_unload()
