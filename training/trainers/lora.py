"""Low-rank adapters: what peft is told of them, and how the trained update goes back into the model."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import torch

from training.config import PreferenceConfig
from training.trainers import loading
from training.trainers.results import TrainingError


def settings_of(config: PreferenceConfig) -> tuple[Any, Any]:
    """(peft config, quantization config) of the settings, each ``None`` where it is off."""
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
    """The base model, loaded anew in full precision, with the trained update merged in.

    Anew, because weights in 4 bits cannot take the update without losing most of it.
    """
    from peft import PeftModel

    with TemporaryDirectory() as adapter:
        trained.save_pretrained(adapter, state_dict=weights)
        base, _ = loading.load_model(model, dtype=loading.weight_dtype(dtype), trust_remote_code=trust_remote_code)
        return PeftModel.from_pretrained(base, adapter).merge_and_unload()
