"""Which preference pairs are trained on, which are set aside to measure on, and which are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.domain.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class PairContent:
    """A pair of the record and what it says; the draw follows from what it says, so it is the same in any database."""

    id: int
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class PairSplit:
    """Ids of the pairs of each part."""

    train: frozenset[int]
    held_out: frozenset[int]
    left_out: frozenset[int]


def split_pairs(pairs: Sequence[PairContent], *, held_out: int, most: int | None, seed: int) -> PairSplit:
    """Set ``held_out`` pairs aside, then keep ``most`` of the others (all of them without a limit).

    Pairs are held out prompt by prompt: a prompt that has a pair there has none in training, and what it has beyond
    ``held_out`` is left out. The pairs of a smaller limit are among those of a larger one, and the same pairs are held
    out whatever the limit.
    """
    by_prompt = sorted(pairs, key=lambda pair: (derive_seed(seed, "held out", pair.prompt), _draw(seed, pair), pair.id))
    aside = by_prompt[:held_out]
    seen = {pair.prompt for pair in aside}
    rest = sorted((pair for pair in pairs if pair.prompt not in seen), key=lambda pair: (_draw(seed, pair), pair.id))
    kept = rest if most is None else rest[:most]
    train, held = _ids(kept), _ids(aside)
    return PairSplit(train, held, _ids(pairs) - train - held)


def _draw(seed: int, pair: PairContent) -> int:
    return derive_seed(seed, "training pairs", pair.prompt, pair.chosen, pair.rejected)


def _ids(pairs: Iterable[PairContent]) -> frozenset[int]:
    return frozenset(pair.id for pair in pairs)
