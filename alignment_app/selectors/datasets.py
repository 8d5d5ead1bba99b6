"""Data sets, their rows and exports, paginated."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final, cast

from django.core.paginator import Page, Paginator
from django.db.models import Avg, Count, IntegerField, OuterRef, Q, QuerySet, Subquery

from alignment_app.models import Dataset, Export, Judgement, PreferencePair, Prompt, Response
from alignment_app.selectors.samples import judgements_of

PAGE: Final = 20
SETS_A_PAGE: Final = 50
MAX_SEARCH_RESULTS: Final = 2_000  # maximum number of search results


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of rows of each kind in a data set."""

    prompts: int
    responses: int
    judgements: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Judge:
    """The scores of one judge in a data set. ``mean`` is over the parsed scores."""

    source: str
    judge: str
    count: int
    unparsed: int
    mean: float | None


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """An imported response with its scores, and its role in the imported pair."""

    response: Response
    judgements: list[Judgement]
    mark: str
    rank: float | None = None  #: human rank, 1 is best


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt of a data set with its imported rows."""

    prompt: Prompt
    responses: list[JudgedResponse]


def datasets_page(query: str = "", kind: str = "", page: Any = 1) -> Page[Dataset]:
    """Return data sets by name, each with ``prompt_count``."""
    found = Dataset.objects.select_related("created_by", "run").annotate(prompt_count=_count_of(Prompt, "dataset"))
    if query.strip():
        found = found.filter(name__icontains=query.strip().replace("\x00", ""))
    if kind in Dataset.Kind.values:
        found = found.filter(kind=kind)
    pages: Page[Any] = Paginator(found.order_by("name"), SETS_A_PAGE).get_page(page)
    return pages


def _count_of(model: Any, field: str) -> Subquery:
    counted = model.objects.filter(**{field: OuterRef("pk")}).order_by().values(field).annotate(n=Count("pk"))
    return Subquery(counted.values("n"), output_field=IntegerField())


def counts(dataset: Dataset) -> Counts:
    """Return the number of rows of a data set by kind."""
    return Counts(
        prompts=dataset.prompts.count(),
        responses=Response.objects.filter(prompt__dataset=dataset, iteration=None).count(),
        judgements=Judgement.objects.filter(response__prompt__dataset=dataset, iteration=None).count(),
        pairs=PreferencePair.objects.filter(prompt__dataset=dataset, iteration=None).count(),
    )


def judges(dataset: Dataset) -> list[Judge]:
    """Return the judges of a data set, each with its number of unparsed scores."""
    found = (
        Judgement.objects.filter(response__prompt__dataset=dataset, iteration=None)
        .order_by()
        .values("source", "judge__label")
        .annotate(n=Count("pk"), unparsed=Count("pk", filter=Q(score=None)), mean=Avg("score"))
    )
    order = [Judgement.Source.SELF, Judgement.Source.TEACHER, Judgement.Source.HUMAN, Judgement.Source.REFERENCE]
    rows = [Judge(row["source"], row["judge__label"], row["n"], row["unparsed"], row["mean"]) for row in found]
    return sorted(rows, key=lambda row: (order.index(Judgement.Source(row.source)), row.judge))


class _ByPosition(Paginator):
    """Paginate a whole data set by ranges of row positions: the last page is as fast as the first."""

    def __init__(self, prompts: QuerySet[Prompt], size: int) -> None:
        super().__init__(prompts, size)
        last = prompts.order_by("-position").values_list("position", flat=True).first()
        self._places = 0 if last is None else last + 1

    @property
    def count(self) -> int:
        return self._places

    def page(self, number: Any) -> Page[Prompt]:
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        prompts: QuerySet[Prompt] = cast("QuerySet[Prompt]", self.object_list)
        rows = prompts.filter(position__gte=start, position__lt=start + self.per_page)
        return Page(rows, number, self)


def rows_page(dataset: Dataset, query: str = "", page: Any = 1) -> Page[Row]:
    """Return a page of a data set's rows in order; ``query`` searches the prompts."""
    found = Prompt.objects.filter(dataset=dataset).order_by("position", "pk")
    words = query.strip().replace("\x00", "")[:200]
    paginator = (
        Paginator(found.filter(text__icontains=words)[:MAX_SEARCH_RESULTS], PAGE) if words else _ByPosition(found, PAGE)
    )
    pages: Any = paginator.get_page(page)
    pages.object_list = _rows(list(pages.object_list))
    return cast("Page[Row]", pages)


def _rows(prompts: list[Prompt]) -> list[Row]:
    """Return prompts with their imported responses, in three queries."""
    numbers = [prompt.pk for prompt in prompts]
    marks: dict[int, str] = {}
    for chosen, rejected in PreferencePair.objects.filter(prompt__in=numbers, iteration=None).values_list(
        "chosen", "rejected"
    ):
        marks.setdefault(chosen, "chosen")
        marks.setdefault(rejected, "rejected")
    responses: dict[int, list[Response]] = defaultdict(list)
    for response in Response.objects.filter(prompt__in=numbers, iteration=None).order_by("index", "pk"):
        responses[response.prompt_id].append(response)
    judged = judgements_of(response.pk for found in responses.values() for response in found)
    return [
        Row(
            prompt=prompt,
            responses=[
                JudgedResponse(response, judged[response.pk], marks.get(response.pk, ""), _rank(prompt, response))
                for response in responses[prompt.pk]
            ],
        )
        for prompt in prompts
    ]


def _rank(prompt: Prompt, response: Response) -> float | None:
    ranks = prompt.meta.get("ranks") or []
    return ranks[response.index] if response.index < len(ranks) else None


def exports_page(page: Any = 1) -> Page[Export]:
    """Return exports, newest first."""
    return Paginator(Export.objects.order_by("-pk"), SETS_A_PAGE).get_page(page)
