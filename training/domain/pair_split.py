"""Split of preference pairs into training pairs, held-out pairs and unused pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.domain.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class PairContent:
    """A stored pair with its texts. The split depends on the texts only, so it is the same in every database."""

    id: int
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class PairSplit:
    """Ids of the pairs in each part."""

    train: frozenset[int]
    held_out: frozenset[int]
    left_out: frozenset[int]


def split_pairs(pairs: Sequence[PairContent], *, held_out: int, most: int | None, seed: int) -> PairSplit:
    """Hold out ``held_out`` pairs, then train on at most ``most`` of the others (``None``: all).

    Pairs are held out by prompt: a prompt with a held-out pair has no training pair, and its pairs beyond ``held_out``
    are left out. The limit does not change which pairs are held out, and a smaller limit gives a subset of the pairs
    of a larger one.
    """
    by_prompt = sorted(pairs, key=lambda pair: (derive_seed(seed, "held out", pair.prompt), _draw(seed, pair), pair.id))
    aside = by_prompt[:held_out]
    held_out_prompts = {pair.prompt for pair in aside}
    others = [pair for pair in pairs if pair.prompt not in held_out_prompts]
    others.sort(key=lambda pair: (_draw(seed, pair), pair.id))
    kept = others if most is None else others[:most]
    train_ids, held_out_ids = _ids(kept), _ids(aside)
    return PairSplit(train_ids, held_out_ids, _ids(pairs) - train_ids - held_out_ids)


def _draw(seed: int, pair: PairContent) -> int:
    return derive_seed(seed, "training pairs", pair.prompt, pair.chosen, pair.rejected)


def _ids(pairs: Iterable[PairContent]) -> frozenset[int]:
    return frozenset(pair.id for pair in pairs)
