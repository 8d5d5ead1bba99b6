"""The miniature's tokenizer: one token per word of the world, letters and bytes for all other text.

Encoding is lossless. A word token includes the preceding space, as in GPT-2's tokenizer. Each fixed line of the judge
prompt is a single added token, so that a judge prompt takes about 40 tokens instead of several hundred.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from training import judges
from training.miniature.world import families

PAD, UNKNOWN, END = "<|pad|>", "<|unknown|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_PIECE = r" ?[A-Za-z]+| ?[0-9]+|[^A-Za-z0-9]"
_PLACEHOLDER = re.compile(r"<(?:INSTRUCTION|RESPONSE)_HERE>")
WORD_SCORE, LETTER_SCORE = -1.0, -20.0
_COMMENT_WORDS = "Expected X, given nothing: same different. Score: 0 1 2 3 4 5 I do not know. It is well known."


def judge_lines(template_name: str = "additive_5") -> list[str]:
    """Return the fixed lines of a judge prompt, including trailing line breaks.

    Together with the inserted texts they make up the whole prompt.
    """
    return [
        line
        for fixed in _PLACEHOLDER.split(judges.get(template_name).prompt)
        for line in re.findall(r"\n*[^\n]+\n*|\n+", fixed)
    ]


def _sentences() -> Iterable[str]:
    yield _COMMENT_WORDS
    for family in families():
        for subject, answer in family.facts.items():
            yield family.statement.format(subject=subject, answer=answer)
            for template in (*family.train, *family.validation, *family.test):
                yield template.format(subject=subject)


def vocabulary() -> list[str]:
    """Return every word of the world with its preceding space, in a fixed order."""
    pieces = re.compile(_PIECE)
    found: dict[str, None] = {}
    for sentence in _sentences():
        for piece in pieces.findall(sentence):
            found.setdefault(piece)
    return sorted(piece for piece in found if len(piece) > 1)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer. It is determined by the world and the judge prompt alone."""
    letters = ["\n", *(chr(code) for code in range(32, 127))]
    pieces: list[tuple[str, float]] = [(UNKNOWN, 0.0)]
    pieces += [(f"<0x{byte:02X}>", LETTER_SCORE) for byte in range(256)]
    pieces += [(letter, LETTER_SCORE) for letter in letters]
    pieces += [(word, WORD_SCORE) for word in vocabulary() if word not in letters]
    core = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE), behavior="isolated")
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=256,
    )
    tokenizer.add_tokens([AddedToken(line, normalized=False, special=False) for line in judge_lines()])
    return tokenizer
