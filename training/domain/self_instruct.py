"""Parsing and filtering of model-written prompts: ROUGE-L, keyword and length (Yuan et al., 2024, section 3.1.3)."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from training.domain.leakage import COMPARED_WORDS, same_prompt
from training.domain.rouge import RougePool, rouge_tokens
from training.domain.rows import PromptDraft, RejectedDraft, storable
from training.domain.seeds import derive_seed

FORBIDDEN_KEYWORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "video", "audio", "music", "flowchart", "diagram", "go to",
)  # fmt: skip
"""Input or output that a text model cannot handle. Matched as whole words, so that "profile" passes."""

ROUGE_THRESHOLD = 0.7
NEIGHBOUR_FLOOR = 0.5
"""Minimum ROUGE-L at which the nearest neighbor of a prompt is stored. Skipping lower scores makes the search fast."""
MIN_WORDS, MAX_WORDS = 3, 150

_KEYWORDS = re.compile(r"\b(?:" + "|".join(map(re.escape, FORBIDDEN_KEYWORDS)) + r")\b", re.IGNORECASE)
_ITEM = re.compile(r"^\s*(?:\d{1,3}[.)](?!\d)|[-*•]\s)\s*", re.MULTILINE)
_WORD = re.compile(r"\w+")
_OPENING_SIGNS = "\"'“‘«(¿¡"
#: Scripts that occur in the same text count as one.
_WRITTEN_TOGETHER = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}


def main_script(text: str) -> str:
    """Return the most common script of a text, by the first word of the Unicode names: LATIN, CYRILLIC, CJK, ….

    Returns "" for a text without letters. Ties are resolved alphabetically.
    """
    counts: dict[str, int] = {}
    for letter in text:
        if letter.isalpha():
            name = unicodedata.name(letter, "").partition(" ")[0]
            script = _WRITTEN_TOGETHER.get(name, name)
            counts[script] = counts.get(script, 0) + 1
    return min(counts, key=lambda script: (-counts[script], script)) if counts else ""


def repeats(text: str, shown: str) -> bool:
    """Whether one text contains the other as whole words, ignoring case and punctuation."""
    one, other = (f" {' '.join(_WORD.findall(part.lower()))} " for part in (text, shown))
    return min(len(one), len(other)) > 2 and (one in other or other in one)


def usable_demonstrations(seeds: Sequence[str]) -> list[str]:
    """Return the seed tasks of at most ``MAX_WORDS`` words, or all if there is none.

    Longer demonstrations would lead to prompts that the filters remove, and may not fit a small model's context.
    """
    return [text for text in seeds if len(text.split()) <= MAX_WORDS] or list(seeds)


def choose_demonstrations(
    seeds: Sequence[str],
    generated: Sequence[str],
    *,
    run_seed: int,
    index: int,
    from_seeds: int = 6,
    from_generated: int = 2,
) -> list[str]:
    """Choose the few-shot demonstrations of the ``index``-th request: seed tasks and generated ones, shuffled.

    Seeds replace missing generated tasks. Raises :class:`ValueError` without seeds.
    """
    if not seeds:
        raise ValueError("self-instruct needs seed tasks; name a data set with prompts")
    draw = random.Random(derive_seed(run_seed, "self_instruct", index))
    own = draw.sample(list(generated), min(from_generated, len(generated)))
    wanted = from_seeds + from_generated - len(own)
    chosen = draw.sample(list(seeds), min(wanted, len(seeds))) + own
    draw.shuffle(chosen)
    return chosen


def read_instructions(completion: str, *, continues: bool = True) -> list[str]:
    """Parse the tasks of a model's numbered or bulleted list, with normalized whitespace.

    With ``continues``, the text starts with the item whose number ends the prompt. Otherwise text before the first
    number is dropped, and without numbers each line is an item. If the completion was truncated, the caller drops the
    last item.
    """
    parts = _ITEM.split(completion)
    if not continues:
        parts = parts[1:] if len(parts) > 1 else completion.splitlines()
    return [text for text in (" ".join(part.split()) for part in parts) if text]


@dataclass
class FilterReport:
    """The number of candidates that each filter removed, with up to three examples each."""

    kept: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def count(self, reason: str, text: str) -> None:
        """Count a removed candidate."""
        self.removed[reason] = self.removed.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < 3:
            shown.append(text[:200])


class PromptFilter:
    """Filters new prompts against a growing pool.

    Admitted prompts join the pool, so of two similar candidates only one passes. ``scripts`` are the allowed scripts;
    empty: those of the initial pool, or Latin if the pool is empty. ``held_out`` are the evaluation prompts: neither
    they nor near ones are admitted, and they are not part of the pool.
    """

    def __init__(
        self,
        pool: Iterable[str],
        *,
        threshold: float = ROUGE_THRESHOLD,
        scripts: Iterable[str] = (),
        held_out: Iterable[str] = (),
    ) -> None:
        self.threshold = threshold
        self.report = FilterReport()
        self._exact: set[str] = set()
        self._texts: list[str] = []
        self._pool = RougePool()
        for text in pool:
            self._remember(text)
        self._held_out = list(held_out)
        self._held_out_words = {same_prompt(text): text for text in self._held_out}
        self._held_out_pool = RougePool()
        for text in self._held_out:
            self._held_out_pool.add(rouge_tokens(text)[:COMPARED_WORDS])
        pool_scripts = {main_script(text) for text in self._texts} - {""}
        self.scripts = frozenset(scripts) or frozenset(pool_scripts) or frozenset({"LATIN"})

    def _remember(self, text: str) -> None:
        self._exact.add(" ".join(text.lower().split()))
        self._texts.append(text)
        self._pool.add(rouge_tokens(text))

    def admit(self, text: str, shown: Sequence[str] = ()) -> PromptDraft | RejectedDraft:
        """Return the prompt as a draft, or the rejection by a filter.

        ``shown`` are the demonstrations in the writer's prompt. The draft's ``meta`` has the nearest neighbor if its
        ROUGE-L is at least :data:`NEIGHBOUR_FLOOR`.
        """
        text = " ".join(storable(text).split())  # as stored, so that a resumed run filters the same text
        draft = self._without_rouge(text, shown) or self._held_out_match(text) or self._with_rouge(text)
        if isinstance(draft, RejectedDraft):
            self.report.count(draft.reason, text)
        else:
            self._remember(text)
            self.report.kept += 1
        return draft

    def _without_rouge(self, text: str, shown: Sequence[str]) -> RejectedDraft | None:
        words = len(text.split())
        if " ".join(text.lower().split()) in self._exact:
            return RejectedDraft(text, "duplicate")
        if words < MIN_WORDS:
            return RejectedDraft(text, f"shorter than {MIN_WORDS} words")
        if words > MAX_WORDS:
            return RejectedDraft(text, f"longer than {MAX_WORDS} words", f"{words} words")
        if keyword := _KEYWORDS.search(text):
            return RejectedDraft(text, "keyword that a text model cannot serve", keyword[0])
        if not (text[0].isalnum() or text[0] in _OPENING_SIGNS):
            return RejectedDraft(text, "begins with a sign", text[0])
        script = main_script(text)
        if script not in self.scripts:
            return RejectedDraft(text, "in another script than the seeds", script or "no letter")
        if repeated := next((one for one in shown if repeats(text, one)), None):
            return RejectedDraft(text, "only repeats a demonstration", repeated)
        return None

    def _held_out_match(self, text: str) -> RejectedDraft | None:
        """Return the rejection of a prompt that leaks an evaluation prompt; see :mod:`training.domain.leakage`."""
        if (match := self._held_out_words.get(same_prompt(text))) is not None:
            return RejectedDraft(text, "is an evaluation prompt", match, 1.0)
        nearest = self._held_out_pool.nearest(rouge_tokens(text), floor=self.threshold)
        if nearest is None:
            return None
        return RejectedDraft(
            text,
            f"ROUGE-L of {self.threshold:g} or more with an evaluation prompt",
            self._held_out[nearest[0]],
            round(nearest[1], 4),
        )

    def _with_rouge(self, text: str) -> PromptDraft | RejectedDraft:
        match = self._pool.nearest(rouge_tokens(text), floor=min(self.threshold, NEIGHBOUR_FLOOR))
        if match is None:
            return PromptDraft(text)
        nearest, figure = self._texts[match[0]], round(match[1], 4)
        if match[1] >= self.threshold:
            return RejectedDraft(text, f"ROUGE-L of {self.threshold:g} or more with a known prompt", nearest, figure)
        return PromptDraft(text, {"nearest": nearest, "rouge_l": figure})
