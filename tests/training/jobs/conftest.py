"""A student of a few thousand parameters with a tokenizer and a chat template of its own, saved as any model is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # Django is set up only after this file is read
    from alignment_app.models import Dataset, Prompt

CHAT = (
    "{% for m in messages %}{{ '<|user|>' if m['role'] == 'user' else '<|assistant|>' }}"
    "{{ m['content'] }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session")
def little_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model: what it writes is noise, and that is enough to see rows made."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("little-student")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=4096
    )
    fast.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>"]})
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


@pytest.fixture
def questions(db: None) -> dict[str, Dataset]:
    """Three small data sets: training prompts, held-out prompts, and prompt-response rows."""
    from alignment_app.models import Dataset, Response

    made = {}
    texts = {
        "train": [f"What is {n} plus one?" for n in range(6)],
        "held out": [f"What is {n} plus two?" for n in range(3)],
    }
    for name, prompts in texts.items():
        made[name] = Dataset.objects.create(name=name, kind=Dataset.Kind.PROMPTS)
        for position, text in enumerate(prompts):
            _prompt(made[name], position, text)
    made["seed"] = Dataset.objects.create(name="seed", kind=Dataset.Kind.DEMONSTRATIONS)
    for position in range(8):
        prompt = _prompt(made["seed"], position, f"Say {position}.")
        Response.objects.create(prompt=prompt, source="imported", purpose="target", index=0, text=str(position))
    return made


def _prompt(dataset: Dataset, position: int, text: str) -> Prompt:
    from alignment_app.models import Prompt
    from alignment_app.services.rows import content_hash

    messages = [{"role": "user", "content": text}]
    return Prompt.objects.create(
        dataset=dataset, source="imported", messages=messages, text=text, position=position,
        content_hash=content_hash(messages),
    )  # fmt: skip
