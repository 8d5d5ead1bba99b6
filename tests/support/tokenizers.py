"""Tokenizers of the kinds that real models have, each with a chat template of another family, built on the spot."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

WORDS = """The river Tal begins in the hills, and its water is cold. Because the bridge was closed, we walked around
the lake; it took an hour. "Where is the station?" she asked. 'Behind the church', he said: 'you cannot miss it.' List
three birds: a wren, a heron and a gull. Query: what is the capital? Assistant: I do not know. User: Then say so! 12, 7
and 350 are numbers, and 3.5 is one too. def add(a, b):\n    return a + b\n\nScore: 4\n\n- first\n- second\n"""

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    + CHATML
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token }}[INST] {{ m['content'].strip() }} [/INST]"
    "{% elif m['role'] == 'assistant' %} {{ m['content'].strip() }} {{ eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant roles') }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
GENERATION = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_END = (
    "{% for m in messages %}### {{ m['role'] }}:\n{{ m['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant:\n{% endif %}"
)
ENDS_IN_SPACE = (
    "{% for m in messages %}{{ '### Instruction: ' if m['role'] == 'user' else '### Response: ' }}{{ m['content'] }}"
    "{{ eos_token if m['role'] == 'assistant' else '' }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### Response: {% endif %}"
)
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and loop.last %}"
    "{% if '</think>' in m['content'] %}{{ m['content'] }}{% else %}<think>\n\n</think>\n\n{{ m['content'] }}"
    "{% endif %}{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _byte_level(*, prefix_space: bool = False, **settings: Any) -> Any:
    """Return byte-level BPE, as in GPT-2, Pythia, Qwen and Llama 3."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([WORDS] * 4, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet))
    return _saved(tokenizer, **settings)


def _sentencepiece(scheme: str, *, unigram: bool = False, **settings: Any) -> Any:
    """Return SentencePiece-like pieces with ▁ for a space.

    ``scheme`` "legacy" inserts the first ▁ before all merges (Llama 2), "always" and "first" are those of Metaspace.
    """
    tokenizer = Tokenizer(models.Unigram() if unigram else models.BPE(byte_fallback=True, unk_token="<unk>"))
    parts: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    # As in SentencePiece, no piece has a ▁ after another character, so the words are split for the training.
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    alphabet = sorted(set(WORDS) | set("▁<>|[]/_\n“”Üä家🙂") | {chr(code) for code in range(33, 127)})
    special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer: Any = (
        trainers.UnigramTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=["<unk>"], unk_token="<unk>")
        if unigram
        else trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, special_tokens=special)
    )
    tokenizer.train_from_iterator([WORDS] * 4, trainer)
    if scheme == "legacy":
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=scheme == "always")
    return _saved(tokenizer, **settings)


def _saved(
    tokenizer: Tokenizer, *, template: str | None, special: tuple[str, ...] = (), bos: str = "<s>",
    eos: str = "</s>", adds: bool = False,
) -> Any:  # fmt: skip
    from transformers import PreTrainedTokenizerFast

    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in dict.fromkeys((bos, eos, *special))])
    if adds:
        ids = [(text, tokenizer.token_to_id(text)) for text in (bos, eos)]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A {eos}", special_tokens=ids)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, model_max_length=4096)
    fast.chat_template = template
    return fast


_ROLES = ("<|user|>", "<|assistant|>")
_CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
KINDS: dict[str, Callable[[], Any]] = {
    "byte-level, ChatML": lambda: _byte_level(template=CHATML, special=("<|im_start|>",), eos="<|im_end|>"),
    "byte-level, end of turn is not eos": lambda: _byte_level(
        template=CHATML, special=_CHATML_TOKENS, eos="<|endoftext|>"
    ),
    "byte-level, default system text": lambda: _byte_level(template=DEFAULT_SYSTEM, special=_CHATML_TOKENS),
    "byte-level, prefix space": lambda: _byte_level(template=ZEPHYR, prefix_space=True, special=("<|user|>",)),
    "byte-level, no template": lambda: _byte_level(template=None, bos="<|endoftext|>", eos="<|endoftext|>"),
    "byte-level, prefix space, no template": lambda: _byte_level(template=None, prefix_space=True),
    "byte-level, adds begin and end": lambda: _byte_level(
        template=GEMMA, adds=True, special=("<start_of_turn>", "<end_of_turn>")
    ),
    "byte-level, thinking": lambda: _byte_level(template=THINKING, special=_CHATML_TOKENS, eos="<|im_end|>"),
    "byte-level, no end token": lambda: _byte_level(template=NO_END),
    "byte-level, prompt ends in a space": lambda: _byte_level(template=ENDS_IN_SPACE),
    "SentencePiece, legacy": lambda: _sentencepiece("legacy", template=LLAMA2, adds=True),
    "SentencePiece, legacy, no template": lambda: _sentencepiece("legacy", template=None),
    "SentencePiece, first": lambda: _sentencepiece(
        "first", template=GEMMA, special=("<start_of_turn>", "<end_of_turn>")
    ),
    "SentencePiece, always": lambda: _sentencepiece("always", template=GENERATION, special=_ROLES),
    "Unigram": lambda: _sentencepiece("always", unigram=True, template=ZEPHYR, special=_ROLES),
}  # fmt: skip


@cache
def tokenizer_of(kind: str) -> Any:
    """Return the tokenizer of this kind; it is built once."""
    return KINDS[kind]()
