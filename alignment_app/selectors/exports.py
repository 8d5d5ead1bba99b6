"""Export rows: prompts, pairs in TRL's preference format, responses as prompt and completion, judgements."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import Q, QuerySet

from alignment_app.models import DatasetSnapshot, Export, Judgement, PreferencePair, Prompt, Response, SnapshotItem

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters of an export, combined with AND. Without filters, all rows of the kind."""

    kind: str
    snapshot: int | None = None
    run: int | None = None
    iteration: int | None = None
    dataset: int | None = None
    source: str = ""  # source of responses or judgements
    excluded: bool = False  # include pairs excluded in review

    def to_dict(self) -> dict[str, Any]:
        """Return the filters that are set."""
        return {name: value for name, value in asdict(self).items() if value}


def prompts(selection: Selection) -> QuerySet[Prompt]:
    found = Prompt.objects.exclude(messages=[])
    if selection.run:
        found = found.filter(uses__iteration__run=selection.run)
    if selection.iteration:
        found = found.filter(uses__iteration=selection.iteration)
    if selection.dataset:
        found = found.filter(dataset=selection.dataset)
    if selection.source:
        found = found.filter(source=selection.source)
    return Prompt.objects.filter(pk__in=found.values("pk"))


def pairs(selection: Selection) -> QuerySet[PreferencePair]:
    found = PreferencePair.objects.all()
    if selection.snapshot:
        found = found.filter(pk__in=SnapshotItem.objects.filter(snapshot=selection.snapshot).values("pair"))
    if selection.run:
        found = found.filter(iteration__run=selection.run)
    if selection.iteration:
        found = found.filter(iteration=selection.iteration)
    if selection.dataset:
        found = found.filter(prompt__dataset=selection.dataset)
    if selection.source:
        found = found.filter(origin=selection.source)
    return found if selection.excluded else found.filter(state__in=PreferencePair.TRAINABLE)


def responses(selection: Selection) -> QuerySet[Response]:
    found = Response.objects.all()
    if selection.snapshot:
        items = SnapshotItem.objects.filter(snapshot=selection.snapshot)
        found = found.filter(
            Q(pk__in=items.values("response"))
            | Q(pk__in=items.values("pair__chosen"))
            | Q(pk__in=items.values("pair__rejected"))
        )
    if selection.run:
        found = found.filter(iteration__run=selection.run)
    if selection.iteration:
        found = found.filter(iteration=selection.iteration)
    if selection.dataset:
        found = found.filter(prompt__dataset=selection.dataset)
    return found.filter(source=selection.source) if selection.source else found


def judgements(selection: Selection) -> QuerySet[Judgement]:
    found = Judgement.objects.all()
    if selection.snapshot:
        found = found.filter(response__in=responses(Selection("responses", snapshot=selection.snapshot)))
    if selection.run:
        found = found.filter(iteration__run=selection.run)
    if selection.iteration:
        found = found.filter(iteration=selection.iteration)
    if selection.dataset:
        found = found.filter(response__prompt__dataset=selection.dataset)
    return found.filter(source=selection.source) if selection.source else found


#: By kind: the query, and the allowed sources.
KINDS: Final[dict[str, tuple[Callable[[Selection], QuerySet[Any]], list[str]]]] = {
    "prompts": (prompts, Prompt.Source.values),
    "pairs": (pairs, PreferencePair.Origin.values),
    "responses": (responses, Response.Source.values),
    "judgements": (judgements, Judgement.Source.values),
}


def rows(kind: str, found: QuerySet[Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a query by primary key, with at most one chunk in memory.

    One query reads the keys and chunks are fetched by key, because a query per chunk would sort the whole set anew.
    """
    related, to_row = _SHAPES[kind]
    wanted = found.model._default_manager.select_related(*related).order_by("pk")
    numbers = iter(found.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=CHUNK))
    while chunk := list(islice(numbers, CHUNK)):
        yield from map(to_row, wanted.filter(pk__in=chunk))


def frozen_pairs(snapshot: DatasetSnapshot) -> Iterator[dict[str, Any]]:
    """Yield a frozen preference set exactly as used for training, even if pairs were changed since."""
    with (Path(settings.HOME) / snapshot.path).open(encoding="utf-8") as file:
        position = 0
        while lines := list(islice(file, CHUNK)):
            items = snapshot.items.filter(position__gte=position, position__lt=position + len(lines)).order_by(
                "position"
            )
            about = items.select_related("pair__iteration")
            for line, item in zip(lines, about, strict=True):
                frozen = json.loads(line)
                yield (_pair(item.pair) if item.pair is not None else {}) | frozen | _margin(frozen)
            position += len(lines)


def rows_of(selection: Selection) -> Iterator[dict[str, Any]]:
    """Yield the rows of a selection; a frozen preference set is read from its file."""
    if snapshot := frozen_set(selection):
        return frozen_pairs(snapshot)
    return rows(selection.kind, KINDS[selection.kind][0](selection))


def frozen_set(selection: Selection) -> DatasetSnapshot | None:
    """Return the frozen preference set to read from file; ``None`` if the rows are in the database."""
    if selection.kind != "pairs" or not selection.snapshot:
        return None
    return DatasetSnapshot.objects.filter(pk=selection.snapshot, kind=DatasetSnapshot.Kind.PREFERENCE).first()


def manifest(export: Export) -> dict[str, Any]:
    """Return the metadata of an export, stored beside the file: author, time, selection, row count, hash."""
    return {
        "export": export.pk,
        "kind": export.kind,
        "format": export.format,
        "file": export.file_name,
        "selection": export.selection,
        "exported_by": export.author,
        "started_at": export.created_at.isoformat(),
        "finished_at": export.finished_at.isoformat() if export.finished_at else None,
        "rows": export.row_count,
        "sha256_of_rows_as_json_lines": export.content_hash or None,
    }


def _assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _margin(row: dict[str, Any]) -> dict[str, Any]:
    chosen, rejected = row.get("chosen_score"), row.get("rejected_score")
    return {"margin": None if chosen is None or rejected is None else chosen - rejected}


def _prompt(prompt: Prompt) -> dict[str, Any]:
    return {
        "messages": prompt.messages,
        "checks": json.dumps(prompt.checks, ensure_ascii=False) if prompt.checks else None,
        "meta": json.dumps(prompt.meta, ensure_ascii=False) if prompt.meta else None,
        "source": prompt.source,
        "dataset": prompt.dataset.name,
        "prompt_id": prompt.pk,
    }


def _pair(pair: PreferencePair) -> dict[str, Any]:
    return {
        "prompt": pair.prompt.messages,
        "chosen": _assistant(pair.chosen.text),
        "rejected": _assistant(pair.rejected.text),
        "chosen_score": pair.chosen_score,
        "rejected_score": pair.rejected_score,
        "margin": pair.margin,
        "origin": pair.origin,
        "state": pair.state,
        "reason": pair.reason,
        "pair_id": pair.pk,
        "prompt_id": pair.prompt_id,
        "run": pair.iteration.run_id if pair.iteration else None,
        "iteration": pair.iteration.number if pair.iteration else None,
    }


def _response(response: Response) -> dict[str, Any]:
    sampling = response.sampling or {}
    return {
        "prompt": response.prompt.messages,
        "completion": _assistant(response.text),
        "source": response.source,
        "purpose": response.purpose,
        "model": response.checkpoint.name if response.checkpoint else response.author,
        "index": response.index,
        "temperature": sampling.get("temperature"),
        "top_p": sampling.get("top_p"),
        "max_new_tokens": sampling.get("max_new_tokens"),
        "seed": response.seed,
        "token_count": response.token_count,
        "finish_reason": response.finish_reason,
        "weights": [{"start": start, "end": end, "weight": float(weight)} for start, end, weight in response.weights],
        "response_id": response.pk,
        "prompt_id": response.prompt_id,
        "run": response.iteration.run_id if response.iteration else None,
        "iteration": response.iteration.number if response.iteration else None,
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "prompt": judgement.response.prompt.messages,
        "completion": _assistant(judgement.response.text),
        "source": judgement.source,
        "judge": judgement.judge.label,
        "score": judgement.score,
        "unparsed": judgement.is_unparsed,
        "parsed_count": judgement.parsed_count,
        "sample_count": judgement.sample_count,
        "spread": judgement.spread,
        "samples": [
            {"raw": sample.get("raw", ""), "score": sample.get("score"), "seed": sample.get("seed")}
            for sample in judgement.samples
        ],
        "rationale": judgement.rationale,
        "checks": json.dumps(judgement.checks, ensure_ascii=False) if judgement.checks else None,
        "template": judgement.judge.template,
        "judgement_id": judgement.pk,
        "judge_id": judgement.judge_id,
        "response_id": judgement.response_id,
        "prompt_id": judgement.response.prompt_id,
        "run": judgement.iteration.run_id if judgement.iteration else None,
        "iteration": judgement.iteration.number if judgement.iteration else None,
    }


_SHAPES: dict[str, tuple[tuple[str, ...], Callable[[Any], dict[str, Any]]]] = {
    "prompts": (("dataset",), _prompt),
    "pairs": (("prompt", "chosen", "rejected", "iteration"), _pair),
    "responses": (("prompt", "checkpoint", "iteration"), _response),
    "judgements": (("response__prompt", "iteration", "judge"), _judgement),
}
