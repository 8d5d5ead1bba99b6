"""View models of the compare page: metrics, different settings, and answers to shared prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import F, FloatField, OuterRef, Q, QuerySet, Subquery

from alignment_app.models import Checkpoint, Comparison, Judgement, Prompt, Response, Run
from alignment_app.pages.checkpoints import ROWS_A_PAGE, answers_of, checkpoints_of_runs
from alignment_app.pages.figures import Figure, figure_of, values_of
from alignment_app.pages.wording import percent, signed, written_interval
from training.domain.agreement import IntervalEstimate
from training.domain.intervals import paired_difference
from training.domain.metric import Metric
from training.domain.metrics import HeadToHead, head_to_head, score_outcome
from training.domain.scores import SAME_SCORE, comparable
from training.domain.training_metrics import PAIR_METRICS
from training.evaluation.registry import evaluation_metrics
from training.evaluation.registry import metric as registered

MOST_COLUMNS = 5
CHOICES = 40
TURNED = {"win": "lose", "tie": "tie", "lose": "win"}


@dataclass(frozen=True, slots=True)
class Column:
    """A compared checkpoint; ``stands_for_run`` if the user selected its run."""

    checkpoint: Checkpoint
    stands_for_run: bool

    @property
    def title(self) -> str:
        return f"{self.checkpoint.run.name} · {self.checkpoint.name}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric's value for one checkpoint; ``best`` marks the best one, see :meth:`Metric.best`."""

    figure: Figure
    checkpoint: int
    best: bool = False


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric with one cell per column."""

    metric: Metric
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting with different values; ``values`` are in column order."""

    field: str
    values: list[Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of one column. ``score`` is a teacher's or a reference score; ``best`` marks the highest one."""

    text: str
    score: float | None
    judged: bool
    best: bool


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt with the answers of all columns.

    ``outcome`` compares the last of two columns with the first: win, tie or lose. It is the judge's verdict if
    ``judged_in`` names the checkpoint whose evaluation compared both, else it follows from the scores. It is empty if
    a score is missing.
    """

    prompt: Prompt
    answers: list[Answer]
    outcome: str
    judged_in: Checkpoint | None


def columns(run_ids: Sequence[int], checkpoint_ids: Sequence[int]) -> list[Column]:
    """Return the selected columns in order, at most five.

    A run is represented by its newest evaluated checkpoint, or its newest one. Unknown ids and runs without a
    checkpoint are skipped.
    """
    found: list[Column] = []
    for run_id in dict.fromkeys(run_ids):
        own = checkpoints_of_runs().filter(run_id=run_id)
        newest = own.filter(evaluation__isnull=False).last() or own.last()
        if newest:
            found.append(Column(newest, stands_for_run=True))
    chosen = {checkpoint.pk: checkpoint for checkpoint in checkpoints_of_runs().filter(pk__in=checkpoint_ids)}
    found += [Column(chosen[pk], stands_for_run=False) for pk in dict.fromkeys(checkpoint_ids) if pk in chosen]
    return found[:MOST_COLUMNS]


def unknown(run_ids: Sequence[str], checkpoint_ids: Sequence[str]) -> list[str]:
    """Return an error message for each requested run or checkpoint that cannot be shown."""
    said = []
    runs = set(Run.objects.filter(pk__in=numbers(run_ids)).values_list("pk", flat=True))
    with_models = set(Checkpoint.objects.filter(run__in=runs).values_list("run", flat=True))
    there = set(Checkpoint.objects.filter(pk__in=numbers(checkpoint_ids)).values_list("pk", flat=True))
    for what, wanted, found in (("run", run_ids, runs), ("checkpoint", checkpoint_ids, there)):
        for text in dict.fromkeys(wanted):
            number = next(iter(numbers([text])), None)
            if number not in found:
                said.append(f"{what.capitalize()} {text[:20] or '(empty)'} does not exist. It may have been removed.")
            elif what == "run" and number not in with_models:
                said.append(f"Run {number} has no checkpoint yet.")
    return said


def numbers(texts: Iterable[str]) -> list[int]:
    """Return the texts that are valid database ids, as integers."""
    return [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 16]


def metric_rows(chosen: Sequence[Column]) -> list[MetricRow]:
    """Return the metrics that at least one column has; the best is marked if its interval overlaps no other."""
    measured = [values_of(column.checkpoint) for column in chosen]
    rows = []
    for metric in (*evaluation_metrics(), registered("seconds"), *PAIR_METRICS):
        figures = [figure_of(metric, values) for values in measured]
        if all(figure.value is None for figure in figures):
            continue
        best = metric.best(measured)
        cells = [
            Cell(figure, column.checkpoint.pk, place == best)
            for place, (figure, column) in enumerate(zip(figures, chosen, strict=True))
        ]
        rows.append(MetricRow(metric, cells))
    return rows


def evaluators(chosen: Sequence[Column]) -> list[str]:
    """Return the name of each column's evaluator, or an empty list if no column has one."""
    measured = [getattr(column.checkpoint, "evaluation", None) for column in chosen]
    names = [one.judge.name if one and one.judge else "" for one in measured]
    return names if any(names) else []


def setting_rows(chosen: Sequence[Column]) -> list[SettingRow]:
    """Return the settings, without the name, that differ between the columns' runs, in config order."""
    flat = [column.checkpoint.run.stored_config.flat() for column in chosen]
    fields = list(dict.fromkeys(field for config in flat for field in config if field != "name"))
    rows = [SettingRow(field, [config.get(field) for config in flat]) for field in fields]
    return [row for row in rows if any(value != row.values[0] for value in row.values)]


def shared_prompts(chosen: Sequence[Column]) -> QuerySet[Prompt]:
    """Return held-out prompts that all columns answered, annotated with ``score_0``, ``score_1``, …"""
    prompts = Prompt.objects.order_by("position", "id")
    for place, column in enumerate(chosen):
        prompts = prompts.filter(pk__in=answers_of(column.checkpoint).values("prompt"))
        score = (
            Judgement.objects.filter(
                response__prompt=OuterRef("pk"),
                response__checkpoint=column.checkpoint,
                response__purpose=Response.Purpose.EVALUATION,
                source__in=(Judgement.Source.TEACHER, Judgement.Source.REFERENCE),
            )
            .order_by("-source", "id")  # a teacher's before an outside reference's
            .values("score")[:1]
        )
        prompts = prompts.annotate(**{f"score_{place}": Subquery(score, output_field=FloatField())})
    return prompts


@dataclass(frozen=True, slots=True)
class Tally:
    """The last column against the first on the prompts with both scores: by outcome, and the change of the mean score.

    ``gain`` is in points, with the interval of the difference paired by prompt.
    """

    counts: HeadToHead
    gain: IntervalEstimate

    @property
    def sentence(self) -> str:
        """Win rate and change of the mean score with their 95 % intervals."""
        counts, gain = self.counts, self.gain
        found = f"win rate {percent(counts.win_rate, 1)} (95 % interval "
        found += f"{written_interval(counts.low, counts.high, 'percent')}), mean score {signed(gain.value)}"
        if gain.low is None or gain.high is None:
            return found
        return f"{found} ({signed(gain.low)} to {signed(gain.high)})"


def tally(prompts: QuerySet[Prompt], last: int) -> Tally | None:
    """Compare the last column with the first by score. Return ``None`` if no prompt has both scores."""
    rows = prompts.order_by("position", "id").values_list("score_0", f"score_{last}")
    pairs = [(before, after) for before, after in rows if before is not None and after is not None]
    if not pairs:
        return None
    outcomes = [outcome for before, after in pairs if (outcome := score_outcome(after, before)) is not None]
    return Tally(head_to_head(outcomes), paired_difference([one for one, _ in pairs], [other for _, other in pairs]))


def prompts_page(chosen: Sequence[Column], show: str, number: str | int | None) -> tuple[Page[PromptRow], Tally | None]:
    """Return a page of 20 shared prompts with all answers, and the tally over all prompts.

    :param show: ``better``, ``worse`` or ``same``: filter by the last column's score compared with the first's.
    """
    prompts = shared_prompts(chosen)
    last = len(chosen) - 1
    counted = tally(prompts, last)
    kept: QuerySet[Any] = prompts.annotate(gain=F(f"score_{last}") - F("score_0"))
    if show == "better":
        kept = kept.filter(gain__gt=SAME_SCORE)
    elif show == "worse":
        kept = kept.filter(gain__lt=-SAME_SCORE)
    elif show == "same":
        kept = kept.filter(gain__range=(-SAME_SCORE, SAME_SCORE))
    page: Page[Any] = Paginator(kept, ROWS_A_PAGE).get_page(number)
    shown = list(page.object_list)
    texts = {
        (response.checkpoint_id, response.prompt_id): response.text
        for response in Response.objects.filter(
            prompt__in=shown,
            checkpoint__in=[column.checkpoint for column in chosen],
            purpose=Response.Purpose.EVALUATION,
        ).order_by("-index")
    }
    newer, judged = _head_to_heads(chosen, shown)
    page.object_list = [_prompt_row(prompt, chosen, texts, newer, judged) for prompt in shown]
    return page, counted


def _head_to_heads(chosen: Sequence[Column], prompts: Sequence[Prompt]) -> tuple[Checkpoint | None, dict[int, str]]:
    """Return the evaluated checkpoint and the outcomes by prompt, if an evaluation compared the two columns."""
    if len(chosen) != 2:
        return None, {}
    first, last = chosen[0].checkpoint, chosen[1].checkpoint
    for newer, older, turned in ((last, first, False), (first, last, True)):
        rows = Comparison.objects.filter(
            evaluation__checkpoint=newer, evaluation__against=older, prompt__in=prompts
        ).values_list("prompt_id", "outcome")
        if rows:
            return newer, {prompt: TURNED[outcome] if turned else outcome for prompt, outcome in rows}
    return None, {}


def _prompt_row(
    prompt: Prompt,
    chosen: Sequence[Column],
    texts: dict[tuple[int | None, int], str],
    newer: Checkpoint | None,
    judged: dict[int, str],
) -> PromptRow:
    scores = [getattr(prompt, f"score_{place}") for place in range(len(chosen))]
    known = [score for score in scores if score is not None]
    top = comparable(max(known)) if known else None
    if len(known) < 2 or top == comparable(min(known)):
        top = None
    outcome = judged.get(prompt.pk) or (score_outcome(scores[-1], scores[0]) if len(chosen) == 2 else None)
    return PromptRow(
        prompt,
        [
            Answer(
                texts.get((column.checkpoint.pk, prompt.pk), ""),
                score,
                judged=bool(known),
                best=top is not None and score is not None and comparable(score) == top,
            )
            for column, score in zip(chosen, scores, strict=True)
        ],
        outcome or "",
        judged_in=newer if prompt.pk in judged else None,
    )


@dataclass(frozen=True, slots=True)
class RunChoice:
    """A run that can be selected, with its checkpoints."""

    run: Run
    checkpoints: list[Checkpoint]


def choices(query: str) -> list[RunChoice]:
    """Return the newest 40 runs with a trained checkpoint whose name contains ``query``."""
    runs = Run.objects.filter(Q(checkpoints__number__gt=0)).distinct()
    if query.strip():
        runs = runs.filter(name__icontains=query.strip())
    return [
        RunChoice(run, list(run.checkpoints.order_by("number")))
        for run in runs.prefetch_related("checkpoints")[:CHOICES]
    ]
