"""A student of a few thousand parameters and small data sets: what it writes is noise, but rows are made as ever."""

from __future__ import annotations

from pathlib import Path

from alignment_app.models import Dataset, Prompt, Response
from alignment_app.services.rows import content_hash

CHAT = (
    "{% for m in messages %}{{ '<|user|>' if m['role'] == 'user' else '<|assistant|>' }}"
    "{{ m['content'] }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_student(folder: Path, *, width: int = 32, layers: int = 2) -> Path:
    """An untrained Llama with a byte tokenizer and a chat template of its own, saved as any model is."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

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
        vocab_size=len(fast), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


def make_datasets(*, train: int = 6, held_out: int = 3, seed: int = 8) -> dict[str, Dataset]:
    """Training prompts ("train"), held-out prompts ("held out") and prompt-response rows ("seed"), so many of each."""
    texts = {
        "train": [f"What is {number} plus one?" for number in range(train)],
        "held out": [f"What is {number} plus two?" for number in range(held_out)],
    }
    made = {}
    for name, prompts in texts.items():
        made[name] = Dataset.objects.create(name=name, kind=Dataset.Kind.PROMPTS)
        for position, text in enumerate(prompts):
            _prompt(made[name], position, text)
    made["seed"] = Dataset.objects.create(name="seed", kind=Dataset.Kind.DEMONSTRATIONS)
    for position in range(seed):
        prompt = _prompt(made["seed"], position, f"Say {position}.")
        Response.objects.create(prompt=prompt, source="imported", purpose="target", index=0, text=str(position))
    return made


def _prompt(dataset: Dataset, position: int, text: str) -> Prompt:
    messages = [{"role": "user", "content": text}]
    return Prompt.objects.create(
        dataset=dataset, source="imported", messages=messages, text=text, position=position,
        content_hash=content_hash(messages),
    )  # fmt: skip
