"""Reading and filtering prompts that a model wrote (001 section 3.1.3: ROUGE-L, keyword and length filters)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from training.domain.rouge import RougePool, rouge_tokens
from training.domain.rows import PromptDraft
from training.domain.seeds import derive_seed

FORBIDDEN_KEYWORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "video", "audio", "music", "flowchart", "diagram", "go to",
)  # fmt: skip
"""What a text model cannot be given or give back. Whole words only, so that "profile" passes."""

ROUGE_THRESHOLD = 0.7
NEIGHBOUR_FLOOR = 0.5
"""A prompt's nearest neighbour is kept with its figure from here on. Below, nobody would call the two alike, and not
asking for the exact figure is what makes long texts quick."""
MIN_WORDS, MAX_WORDS = 3, 150

_KEYWORDS = re.compile(r"\b(?:" + "|".join(map(re.escape, FORBIDDEN_KEYWORDS)) + r")\b", re.IGNORECASE)
_ITEM = re.compile(r"^\s*(?:\d{1,3}[.)](?!\d)|[-*•]\s)\s*", re.MULTILINE)


def choose_demonstrations(
    seeds: Sequence[str],
    generated: Sequence[str],
    *,
    run_seed: int,
    index: int,
    from_seeds: int = 6,
    from_generated: int = 2,
) -> list[str]:
    """Few-shot demonstrations of the ``index``-th request: six seed tasks and two generated ones, shuffled.

    Where there are not yet enough generated ones, seeds take their place. Raises :class:`ValueError` without seeds.
    """
    if not seeds:
        raise ValueError("self-instruct needs seed tasks; name a data set with prompts")
    draw = random.Random(derive_seed(run_seed, "self_instruct", index))
    own = draw.sample(list(generated), min(from_generated, len(generated)))
    wanted = from_seeds + from_generated - len(own)
    chosen = draw.sample(list(seeds), min(wanted, len(seeds))) + own
    draw.shuffle(chosen)
    return chosen


def read_instructions(completion: str) -> list[str]:
    """The tasks in a model's continuation of a numbered list, one an item, whitespace made even.

    The first item goes on from the number that the prompt left open. An item that does not end before the next is
    kept whole; the caller drops the last one where the completion was cut by its length limit.
    """
    parts = _ITEM.split(completion)
    return [text for text in (" ".join(part.split()) for part in parts) if text]


@dataclass
class FilterReport:
    """How many candidates each filter removed, with up to three examples of each."""

    kept: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def count(self, reason: str, text: str) -> None:
        """Note one removed candidate."""
        self.removed[reason] = self.removed.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < 3:
            shown.append(text[:200])


class PromptFilter:
    """Admits new prompts one by one against a growing pool.

    The pool begins with the seeds and everything admitted joins it, so two near-equal candidates never both pass.
    """

    def __init__(self, pool: Iterable[str], *, threshold: float = ROUGE_THRESHOLD) -> None:
        self.threshold = threshold
        self.report = FilterReport()
        self._exact: set[str] = set()
        self._texts: list[str] = []
        self._pool = RougePool()
        for text in pool:
            self._remember(text)

    def _remember(self, text: str) -> None:
        self._exact.add(" ".join(text.lower().split()))
        self._texts.append(text)
        self._pool.add(rouge_tokens(text))

    def admit(self, text: str) -> PromptDraft | None:
        """The prompt as a draft; ``None`` where a filter removed it.

        ``meta`` holds the nearest neighbour and its figure where that is :data:`NEIGHBOUR_FLOOR` or more.
        """
        text = " ".join(text.split())
        reason = self._cheap_reason(text)
        if reason:
            self.report.count(reason, text)
            return None
        nearest, similarity = self._nearest(text)
        if similarity >= self.threshold:
            self.report.count(f"ROUGE-L of {self.threshold:g} or more with a known prompt", text)
            return None
        self._remember(text)
        self.report.kept += 1
        return PromptDraft(text, {"nearest": nearest, "rouge_l": round(similarity, 4)} if nearest else {})

    def _cheap_reason(self, text: str) -> str:
        words = len(text.split())
        if " ".join(text.lower().split()) in self._exact:
            return "duplicate"
        if words < MIN_WORDS:
            return f"shorter than {MIN_WORDS} words"
        if words > MAX_WORDS:
            return f"longer than {MAX_WORDS} words"
        if _KEYWORDS.search(text):
            return "keyword that a text model cannot serve"
        if not text[0].isascii() or (not text[0].isalnum() and text[0] not in "\"'(¿"):
            return "begins with a sign or another script"
        return ""

    def _nearest(self, text: str) -> tuple[str, float]:
        found = self._pool.nearest(rouge_tokens(text), floor=min(self.threshold, NEIGHBOUR_FLOOR))
        return (self._texts[found[0]], found[1]) if found else ("", 0.0)
