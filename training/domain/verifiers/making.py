"""Make constraint prompts from instructions: prompts that carry their checks (in the manner of IFEval).

Source: Zhou et al. (2023), Instruction-Following Evaluation for Large Language Models. Sentences and limits are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from training.domain.seeds import derive_seed
from training.domain.verifiers.base import Drawn
from training.domain.verifiers.registry import VERIFIERS

#: Kinds of checks that can be drawn.
DRAWN_KINDS: Final = tuple(name for name, verifier in VERIFIERS.items() if verifier.draw)


@dataclass(frozen=True, slots=True)
class ConstraintPrompt:
    """A prompt that asks for its checks, the checks, and the instruction that it was made from."""

    text: str
    checks: list[dict[str, Any]]
    instruction: str

    def as_row(self) -> dict[str, Any]:
        """Return a row of a data set of prompts."""
        return {"prompt": self.text, "checks": self.checks, "meta": {"instruction": self.instruction[:1000]}}


def make_constraint_prompts(
    instructions: Sequence[str],
    *,
    seed: int,
    least: int = 1,
    most: int = 2,
    kinds: Sequence[str] = DRAWN_KINDS,
) -> Iterator[ConstraintPrompt]:
    """Yield a prompt per instruction, with ``least`` to ``most`` checks that do not contradict each other.

    A prompt depends on the seed and its instruction only, not on the other instructions.

    Raises:
        ValueError: for a kind that cannot be drawn, or invalid numbers.
    """
    if unknown := [kind for kind in kinds if kind not in DRAWN_KINDS]:
        raise ValueError(f"{unknown[0]!r} cannot be drawn; choose from {', '.join(DRAWN_KINDS)}")
    if not kinds or not 1 <= least <= most:
        raise ValueError("give at least one kind, and from 1 check to at least as many")
    for instruction in instructions:
        drawn = _draw(Random(derive_seed(seed, "constraints", instruction)), least, most, kinds)
        text = f"{instruction.strip()}\n\n{' '.join(one.sentence for one in drawn)}"
        yield ConstraintPrompt(text, [one.check for one in drawn], instruction)


def _draw(rng: Random, least: int, most: int, kinds: Sequence[str]) -> list[Drawn]:
    wanted = rng.randint(least, most)
    order = sorted(kinds)
    rng.shuffle(order)
    chosen: list[Drawn] = []
    taken: list[str] = []
    for kind in order:
        if len(chosen) == wanted:
            break
        if any(_contradict(kind, other) for other in taken):
            continue
        draw = VERIFIERS[kind].draw
        assert draw is not None
        chosen.append(draw(rng))
        taken.append(kind)
    return chosen


def _contradict(one: str, other: str) -> bool:
    return other in VERIFIERS[one].excludes or one in VERIFIERS[other].excludes
