"""Declaration of a stage, and the typed data that it stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from training.config import RunConfig
from training.domain.alarms import Health, OrderHealth

Queue = Literal["light", "generation", "teacher", "training"]
#: Rows on the samples page of a stage: prompts with responses, head-to-head comparisons, or frozen rows.
Samples = Literal["", "prompts", "comparisons", "snapshot"]


class StageData(BaseModel):
    """Base class of the data that a stage stores. Every field has a default, for data of older versions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read stored data of any version. Unknown and invalid fields are ignored."""
        known = {name: value for name, value in data.items() if name in cls.model_fields}
        try:
            return cls.model_validate(known)
        except ValidationError as error:
            invalid = {item["loc"][0] for item in error.errors()}
            return cls.model_validate({name: value for name, value in known.items() if name not in invalid})

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return a copy with changed fields. Raises :class:`pydantic.ValidationError` for an undeclared field."""
        return type(self).model_validate({**self.model_dump(exclude_unset=True), **changes})

    def as_data(self) -> dict[str, Any]:
        """Return JSON data of the fields that were set, for :meth:`read`."""
        return self.model_dump(mode="json", exclude_unset=True)


class ModelStageData(StageData):
    """A finished stage whose rows a model makes."""

    left_out: dict[str, int] = {}  #: rows whose prompt a model refused, by PromptOutcome


class LiveStageData(StageData):
    """Progress of a running stage that uses an engine."""

    tokens_per_second: float | None = None
    in_flight: int | None = None  #: number of concurrent requests


class SummaryFormat(Protocol):
    """Formatting functions for summaries, implemented by :mod:`alignment_app.pages`."""

    def number(self, value: Any, places: Any = None) -> str:
        """Format a number with thousands separators."""

    def percent(self, value: Any, places: int = 0) -> str:
        """Format a share of 1 as a percentage."""

    def short_hash(self, value: str) -> str:
        """Abbreviate a hash."""

    def headline(self, values: Mapping[str, Any]) -> str:
        """Format the first metric of an evaluation."""


@dataclass(frozen=True, slots=True)
class FinishedStage:
    """A finished stage: its number of rows or steps, and the model of its iteration ("" if there is none yet)."""

    done: int
    model: str = ""


Summary = Callable[[Any, FinishedStage, SummaryFormat], tuple[str, str]]
"""Takes a stage's result and returns the count and the note that the diagram of the loop displays."""


def plain_summary(result: StageData, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    """Return the number of rows, without a note."""
    return words.number(stage.done), ""


@cache
def import_function(name: str) -> Any:
    """Import ``"package.module:function"``. Raises :class:`ImportError` or :class:`AttributeError`."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _always(config: RunConfig, iteration: int) -> bool:
    return True


def _never(config: RunConfig, iteration: int) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """Declaration of a stage for the plan, the jobs, the pages and the estimate.

    Functions of other packages are dotted names (``"package.module:function"``) that the caller imports, so that this
    package depends on neither jobs nor estimate.
    """

    kind: str  #: name in the database; at most 32 characters
    title: str
    unit: str  #: unit of ``Stage.done``
    queue: Queue | Callable[[RunConfig], Queue]
    job: str | None  #: takes a ``StageWork`` and returns the result; ``None``: people do the work
    result: type[StageData] = StageData
    progress: type[StageData] = LiveStageData
    applies: Callable[[RunConfig, int], bool] = _always  #: whether an iteration, given by its number, has the stage
    skipped: Callable[[RunConfig, int], bool] = _never  #: whether the config skips the stage
    summary: Summary = plain_summary
    samples: Samples = ""
    refreshes: tuple[str, ...] = ()  #: parts of the run page that change while the stage runs
    overlap: str | None = None  #: job of a remote teacher on this stage while the previous stage runs
    overlaps_teacher: bool = False  #: whether a remote teacher may work on a later stage while this one runs
    estimate: str | None = None  #: takes a ``Workload`` and the iteration's number, returns seconds

    @property
    def waits_for_people(self) -> bool:
        """Whether people do the work of the stage instead of a job."""
        return self.job is None

    def queue_for(self, config: RunConfig) -> Queue:
        """Return the RQ queue of the stage's job."""
        return self.queue(config) if callable(self.queue) else self.queue


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage of an iteration, its RQ queue, and whether the config skips it."""

    spec: StageSpec
    queue: Queue
    skipped: bool = False

    @property
    def kind(self) -> str:
        """The stage's name in the database."""
        return self.spec.kind


def _without_kind(data: Any) -> Any:
    """Remove the field "orders" of older versions: the fields of the two kinds of statistics differ anyway."""
    return {name: value for name, value in data.items() if name != "orders"} if isinstance(data, Mapping) else data


JudgeHealth = Annotated[Health | OrderHealth, BeforeValidator(_without_kind)]


def left_out_note(result: ModelStageData, words: SummaryFormat) -> str:
    """Return the number of rows that were left out, for a summary; "" for none."""
    return f"{words.number(sum(result.left_out.values()))} left out" if result.left_out else ""


class HealthData(ModelStageData):
    """Health statistics of the judges in a stage."""

    health: dict[str, JudgeHealth] = {}  #: by the judge's role


class JudgeData(HealthData):
    """Data of a stage with one judge."""

    parse_rate: float | None = None  #: share of replies with a score
    unparsed: int = 0


class LiveJudgeData(LiveStageData, JudgeData):
    """Progress of a running stage with one judge."""


def teacher_queue(config: RunConfig) -> Queue:
    """Return the RQ queue of the teacher's work."""
    return "teacher" if config.teacher.is_remote else "generation"
