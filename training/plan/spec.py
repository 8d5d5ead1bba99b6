"""What the declaration of a stage consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from training.config import RunConfig

Queue = Literal["light", "generation", "teacher", "training"]
#: What the page of samples shows of a stage: prompts with their responses, head-to-head comparisons, or frozen rows.
Samples = Literal["", "prompts", "comparisons", "snapshot"]


class StageData(BaseModel):
    """What a stage stores about its work: known fields only, each with a default.

    A field that an older version did not write has its default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """The figures in stored data of any version; a field that is unknown or invalid by now is left out."""
        known = {name: value for name, value in data.items() if name in cls.model_fields}
        try:
            return cls.model_validate(known)
        except ValidationError as error:
            invalid = {item["loc"][0] for item in error.errors()}
            return cls.model_validate({name: value for name, value in known.items() if name not in invalid})

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """A copy with other values. Raises :class:`pydantic.ValidationError` for a field that is not declared."""
        return type(self).model_validate({**self.model_dump(exclude_unset=True), **changes})

    def as_data(self) -> dict[str, Any]:
        """Plain JSON types of the fields that were given; :meth:`read` reads them."""
        return self.model_dump(mode="json", exclude_unset=True)


class LiveStageData(StageData):
    """Figures of a stage at work. Each stage that an engine works for has these."""

    tokens_per_second: float | None = None
    in_flight: int | None = None  #: requests that the engine is working on


class SummaryFormat(Protocol):
    """How a summary is written: :mod:`alignment_app.pages` has the words of the pages."""

    def number(self, value: Any, places: Any = None) -> str:
        """A number, with thousands separated."""

    def percent(self, value: Any, places: int = 0) -> str:
        """A share of one in per cent."""

    def short_hash(self, value: str) -> str:
        """The beginning of a hash."""

    def headline(self, values: Mapping[str, Any]) -> str:
        """The first metric of an evaluation, with its value."""


@dataclass(frozen=True, slots=True)
class FinishedStage:
    """A finished stage: the rows (or steps) it made, and the model of its iteration (empty: not there)."""

    done: int
    model: str = ""


Summary = Callable[[Any, FinishedStage, SummaryFormat], tuple[str, str]]
"""Takes a stage's result and gives the count and the note that the picture of the loop shows for it."""


def plain_summary(result: StageData, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    """The number of rows alone."""
    return words.number(stage.done), ""


@cache
def import_function(name: str) -> Any:
    """The function behind ``"package.module:function"``. Raises :class:`ImportError` or :class:`AttributeError`."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _always(config: RunConfig, iteration: int) -> bool:
    return True


def _never(config: RunConfig, iteration: int) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """A stage of the loop: everything that the plan, the jobs, the pages and the estimate have to know about it.

    Functions of other packages are given by dotted name (``"package.module:function"``) and imported by those who call
    them, so that this package imports neither jobs nor estimate.
    """

    kind: str  #: its name in the database; at most 32 characters
    title: str
    unit: str  #: what ``Stage.done`` counts
    queue: Queue | Callable[[RunConfig], Queue]
    job: str | None  #: takes a ``StageWork``, returns the result; ``None``: the stage waits for people
    result: type[StageData] = StageData
    progress: type[StageData] = LiveStageData
    applies: Callable[[RunConfig, int], bool] = _always  #: whether iteration number ``int`` has the stage
    skipped: Callable[[RunConfig, int], bool] = _never  #: whether the iteration has it but leaves it out
    summary: Summary = plain_summary
    samples: Samples = ""
    refreshes: tuple[str, ...] = ()  #: parts of the run page that change while the stage works
    overlap: str | None = None  #: what a remote teacher does of the stage while the stage before it runs
    overlaps_teacher: bool = False  #: whether a remote teacher works on a later stage while this one runs
    estimate: str | None = None  #: its seconds; takes a ``training.estimate.Workload`` and the iteration's number

    @property
    def waits_for_people(self) -> bool:
        """Whether people, not a job, do the stage's work."""
        return self.job is None

    def queue_for(self, config: RunConfig) -> Queue:
        """The queue that its work belongs on."""
        return self.queue(config) if callable(self.queue) else self.queue


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage of an iteration, the queue that its work belongs on, and whether the config leaves it out."""

    spec: StageSpec
    queue: Queue
    skipped: bool = False

    @property
    def kind(self) -> str:
        """The stage's name in the database."""
        return self.spec.kind


class HealthData(StageData):
    """Figures of the judges that take part in a stage."""

    health: dict[str, dict[str, Any]] = {}  #: by the judge's role; :func:`training.domain.alarms.from_data` reads them


class JudgeData(HealthData):
    """Figures of the one judge whose replies a stage collects."""

    parse_rate: float | None = None  #: share of the replies that held a score
    unparsed: int = 0


class LiveJudgeData(LiveStageData, JudgeData):
    """The same while the judge is at work."""


def teacher_queue(config: RunConfig) -> Queue:
    """The queue of what the teacher writes."""
    return "teacher" if config.teacher.is_remote else "generation"
