"""Tokenize conversations and answers, and turn generated tokens into text.

A training example is a prompt and a completion. Its tokens are the prompt as an engine receives it, followed by the
completion as a model writes it after this prompt: no token spans the boundary. Texts of people and models cannot write
control tokens: a marker such as ``<|im_end|>`` inside a message is tokenized as ordinary characters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.conversation.frame import Frame, frame_of, render, special_tokens, with_template

Messages = Sequence[Mapping[str, Any]]

#: Texts before a fragment whose tokens are tried in this order; the first that does not merge with the fragment is
#: used. A fragment on its own would get the prefix space that some tokenizers add at the start of a text.
_CONTEXTS = ("\n", ":", "a")
_OPEN, _CLOSE = "\U000f0000", "\U000f0001"  # private use: they enclose the number of a marker


@dataclass(frozen=True, slots=True)
class Example:
    """Prompt and completion tokens, with one loss weight per completion token."""

    prompt_ids: list[int]
    completion_ids: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens of a conversation up to the answer. ``context`` is the text that precedes the answer."""

    ids: list[int]
    context: str
    context_ids: list[int]


class ConversationEncoder:
    """Tokenizes conversations for one tokenizer, which gets the plain chat template if it has none."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = with_template(tokenizer)
        self.frame: Frame = frame_of(tokenizer)
        self._markers = [text for text in special_tokens(tokenizer) if len(text) > 1]
        self._marker = re.compile("|".join(map(re.escape, self._markers)) or r"(?!)")
        self._known = {text: self._ids(text) for text in _CONTEXTS}

    def end_ids(self, generation_config: Any = None) -> list[int]:
        """Return all tokens that end an answer: the template's, the tokenizer's and the generation config's."""
        configured = getattr(generation_config, "eos_token_id", None)
        listed = configured if isinstance(configured, list) else [configured]
        ends = {*listed, self.tokenizer.eos_token_id, self.frame.end_id}
        return sorted(token for token in ends if token is not None)

    def prompt(self, messages: Messages) -> Prompt:
        """Tokenize a conversation up to the answer.

        Raises :class:`training.conversation.frame.ConversationRefused` if the chat template refuses it.
        """
        pieces = self._rendered(messages)
        ids = last = self._ids(pieces[0])
        for piece in pieces[1:]:
            ids = ids + [token for token, _, _ in self._continued(piece)]
        if len(pieces) > 1:
            last = self._ids(pieces[-1])
        return Prompt(ids, pieces[-1], last)

    def prompts(self, conversations: Sequence[Messages]) -> list[list[int]]:
        """Return the tokens of :meth:`prompt` for many conversations, in one call of the tokenizer."""
        rendered = [self._rendered(messages) for messages in conversations]
        whole = [pieces[0] for pieces in rendered if len(pieces) == 1]
        tokens = iter(self.tokenizer(whole, add_special_tokens=False)["input_ids"] if whole else ())
        return [
            list(next(tokens)) if len(pieces) == 1 else self.prompt(messages).ids
            for messages, pieces in zip(conversations, rendered, strict=True)
        ]

    def completion(
        self, prompt: Prompt, answer: str, *, ended: bool = True, spans: Sequence[Sequence[float]] = ()
    ) -> tuple[list[int], list[float]]:
        """Tokenize an answer as a model writes it after the prompt. Returns the tokens, and a loss weight per token.

        The end token follows, unless the answer was cut (``ended`` is false). ``spans`` are (start, end, weight) in
        characters of ``answer``; all other tokens have weight 1.
        """
        opening = self._opening(answer)
        text = opening + answer + (self.frame.closing if ended else "")
        ids: list[int] = []
        weights: list[float] = []
        base, context = -len(opening), (prompt.context, prompt.context_ids)
        for piece in _pieces(text, self._marker):
            for token, left, right in self._continued(piece, context, offsets=bool(spans)):
                ids.append(token)
                weights.append(_weight(left + base, right + base, spans))
            base, context = base + len(piece), ("", [])
        if ended:
            ids.append(self.frame.end_id)
            weights.append(1.0)
        return ids, weights

    def example(
        self, messages: Messages, answer: str, *, ended: bool = True, spans: Sequence[Sequence[float]] = ()
    ) -> Example:
        """Tokenize a conversation and its answer; see :meth:`prompt` and :meth:`completion`."""
        prompt = self.prompt(messages)
        return Example(prompt.ids, *self.completion(prompt, answer, ended=ended, spans=spans))

    def raw(self, text: str) -> Example:
        """Tokenize a raw text as a completion without a prompt: optional begin token, text, end token.

        Control tokens inside it are kept: such rows hold conversations that were rendered elsewhere.
        """
        start = self.tokenizer.bos_token or ""
        body = text.removeprefix(start) if start else text
        ids = self._ids(start + body + self.tokenizer.eos_token)
        return Example([], ids, [1.0] * len(ids))

    def texts(self, answers: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of generated answers, given without their end token, without what the template writes."""
        opening, closing = self.frame.opening, self.frame.closing
        texts: list[str] = self._decoded([list(ids) for ids in answers])
        if opening:
            # Some tokenizers drop the space at the start of a text: decode it after another token.
            context = self._known["a"]
            after = self._decoded([[*context, *ids] for ids in answers])
            start = self._decoded([context])[0] + opening
            texts = [
                whole.removeprefix(start) if whole.startswith(start) else text
                for whole, text in zip(after, texts, strict=True)
            ]
        return [text.removesuffix(closing) if closing else text for text in texts]

    def _opening(self, answer: str) -> str:
        """Return the template's opening, unless the answer brings its own, such as a chain of thought in tags."""
        tag = self.frame.opening.split()
        return "" if tag and answer.lstrip().startswith(tag[0]) else self.frame.opening

    def _rendered(self, messages: Messages) -> list[str]:
        """Render a conversation, and cut it inside every marker that a message contains."""
        nonce = 0
        contents = [message["content"] for message in messages]
        if not any(self._marker.search(content) for content in contents):
            return [render(self.tokenizer, messages) + self.frame.cue]
        while any(f"{_OPEN}{nonce}:" in content for content in contents):
            nonce += 1

        def hide(match: re.Match[str]) -> str:
            return f"{_OPEN}{nonce}:{self._markers.index(match[0])}{_CLOSE}"

        hidden = [{**message, "content": self._marker.sub(hide, message["content"])} for message in messages]
        parts = re.split(rf"{_OPEN}{nonce}:(\d+){_CLOSE}", render(self.tokenizer, hidden) + self.frame.cue)
        pieces = [parts[0]]
        for number, text in zip(parts[1::2], parts[2::2], strict=True):
            marker = self._markers[int(number)]
            pieces[-1] += marker[0]
            pieces.append(marker[1:] + text)
        return pieces

    def _continued(
        self, fragment: str, context: tuple[str, list[int]] = ("", []), *, offsets: bool = False
    ) -> Iterator[tuple[int, int, int]]:
        """Yield the tokens of a text that follows another one, each with its first and last character."""
        for before, known in (context, *self._known.items()):
            if not known:
                continue
            encoded = self.tokenizer(before + fragment, add_special_tokens=False, return_offsets_mapping=offsets)
            ids, begin = encoded["input_ids"], len(known)
            if ids[:begin] == known:
                places = encoded["offset_mapping"][begin:] if offsets else [(0, 0)] * (len(ids) - begin)
                for token, (left, right) in zip(ids[begin:], places, strict=True):
                    yield token, left - len(before), right - len(before)
                return
        yield from ((token, 0, len(fragment)) for token in self._ids(fragment))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _decoded(self, answers: list[list[int]]) -> list[str]:
        texts: list[str] = self.tokenizer.batch_decode(
            answers, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts


def _pieces(text: str, marker: re.Pattern[str]) -> list[str]:
    """Cut a text after the first character of each marker."""
    cuts = [0, *(match.start() + 1 for match in marker.finditer(text)), len(text)]
    return [text[left:right] for left, right in itertools.pairwise(cuts)]


def _weight(left: int, right: int, spans: Sequence[Sequence[float]]) -> float:
    weight = 1.0
    for start, end, value in spans:
        if left < end and right > start:
            weight = float(value)
    return weight
