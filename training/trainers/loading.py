"""Load models and tokenizers for training, and set dropout."""

from __future__ import annotations

from typing import Any

import torch

from training.conversation.encoder import ConversationEncoder
from training.conversation.frame import with_template
from training.domain.templates import PLAIN_CHAT_TEMPLATE
from training.trainers.results import TrainingError

_DROPOUT_FIELDS = (
    "attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "hidden_dropout", "residual_dropout",
    "attention_dropout_prob", "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout",
)  # fmt: skip


def use_cpu() -> bool:
    """Return whether there is no GPU to train on."""
    return not torch.cuda.is_available()


def weight_dtype(dtype: str) -> torch.dtype:
    """Return the dtype of the trained weights: float32 for "auto" or on a CPU, otherwise the named one.

    Updates at a learning rate of 1e-6 are below bfloat16's resolution for most weights, so "auto" stores weights in
    float32 and, on a GPU, computes in bfloat16.
    """
    if dtype == "auto" or use_cpu():
        return torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]


def computes_in_bfloat16(dtype: str) -> bool:
    """Return whether computations use bfloat16: with "auto" on a GPU that supports it."""
    return dtype == "auto" and not use_cpu() and torch.cuda.is_bf16_supported()


def load_tokenizer(model: str, *, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer, adding a padding token and the plain chat template if they are missing."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise TrainingError(f"The tokenizer of {model!r} could not be loaded: {_first_line(error)}") from error
    if tokenizer.eos_token is None:
        raise TrainingError(f"The tokenizer of {model!r} has no end token; set eos_token in its tokenizer_config.json.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return with_template(tokenizer)


def template_note(tokenizer: Any) -> tuple[str, ...]:
    """Return notes if the tokenizer has no chat template, or one that writes no end token after an answer."""
    if tokenizer.chat_template == PLAIN_CHAT_TEMPLATE:
        said = (
            "The tokenizer has no chat template of its own, so the plain one is used (User: … Assistant: …). If the "
            "model was trained with another template, add it to its tokenizer_config.json."
        )
        return (said,)
    if not ConversationEncoder(tokenizer).frame.has_end:
        said = (
            f"The chat template writes no end token after an answer. The model is taught to end it with "
            f"{tokenizer.eos_token}, which also ends generation. If the model ends answers otherwise, correct the "
            "chat_template in its tokenizer_config.json."
        )
        return (said,)
    return ()


def set_end_tokens(model: Any, tokenizer: Any) -> None:
    """Enter the end tokens in the generation config, so that other programs stop where the model was taught to."""
    if model.generation_config is not None:
        ends = ConversationEncoder(tokenizer).end_ids(model.generation_config)
        model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]


def load_model(
    model: str,
    *,
    dtype: torch.dtype,
    dropout: float = 0.0,
    trust_remote_code: bool = False,
    quantization_config: Any = None,
) -> tuple[Any, dict[str, Any]]:
    """Load a causal language model with all its dropout rates set. Returns the model and the previous rates.

    Raises :class:`TrainingError` if it cannot be loaded, or if ``dropout`` is set for a model without dropout.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
        before = {name: getattr(config, name) for name in _DROPOUT_FIELDS if hasattr(config, name)}
        if dropout > 0 and not before:
            raise TrainingError(f"{model!r} does not support dropout; set dropout to 0.")
        for name in before:
            setattr(config, name, dropout)
        extra = {"quantization_config": quantization_config} if quantization_config is not None else {}
        loaded = AutoModelForCausalLM.from_pretrained(
            model, config=config, dtype=dtype, trust_remote_code=trust_remote_code, **extra
        )
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"The model {model!r} could not be loaded: {_first_line(error)} Give the folder of a checkpoint, or the "
            "name of a causal language model on the hub that this machine can reach."
        ) from error
    return loaded, before


def restore_dropout(model: Any, before: dict[str, Any]) -> None:
    """Restore the dropout rates, so that saved checkpoints have the model's original configuration."""
    for name, value in before.items():
        setattr(model.config, name, value)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0][:300].rstrip(".") if lines else type(error).__name__) + "."
