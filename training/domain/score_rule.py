"""The score in force: which score of a response counts, where a judge and people have scored it.

To add a rule, write its function and name it in :data:`PICKS`; a config chooses it by that name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

#: Scores of one response, oldest first: by the judge and by people. A score is ``None`` where it was unparsed.
Pick = Callable[[Sequence[float | None], Sequence[float | None]], float | None]


def people_first(by_judge: Sequence[float | None], by_people: Sequence[float | None]) -> float | None:
    """The newest score by people, else the newest by the judge."""
    return (by_people or by_judge)[-1]


PEOPLE_FIRST: Final = "people_first"
PICKS: Final[Mapping[str, Pick]] = {PEOPLE_FIRST: people_first}


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """Whose scores an iteration's pairs follow, stored with the iteration.

    ``source``: "self" or "teacher". ``judge``: id of the judge's row; ``None``: whoever scored the data set's
    responses. ``pick``: name of the rule between that judge and people.
    """

    source: str
    judge: int | None = None
    pick: str = PEOPLE_FIRST

    def as_data(self) -> dict[str, Any]:
        """Plain data, as it is stored."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> ScoreRule:
        """The rule of stored data."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class GivenScore:
    """A score of a response by the rule's judge, or with ``by_people`` by people; 0 to 5, ``None``: unparsed."""

    response_id: int
    score: float | None
    by_people: bool = False


def in_force(rule: ScoreRule, given: Iterable[GivenScore]) -> dict[int, float | None]:
    """By response: the score that counts. ``given``: oldest first. A response that nobody scored is left out."""
    by_judge: dict[int, list[float | None]] = defaultdict(list)
    by_people: dict[int, list[float | None]] = defaultdict(list)
    for one in given:
        (by_people if one.by_people else by_judge)[one.response_id].append(one.score)
    pick = PICKS[rule.pick]
    found = dict.fromkeys([*by_judge, *by_people])
    return {response: pick(by_judge.get(response, ()), by_people.get(response, ())) for response in found}
