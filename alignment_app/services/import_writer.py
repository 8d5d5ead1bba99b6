"""Bulk writer of imported rows. Rows with existing content are left unchanged."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Max

from alignment_app.models import Dataset, Judge, Judgement, PreferencePair, Prompt, Response
from alignment_app.services.import_formats import ImportRefused
from alignment_app.services.judge_rows import imported_judge
from training.domain.importing import ImportedResponse, ImportedRow

BATCH = 1000
_NEEDED = ("id", "content_hash", "checks")  # fields of an existing prompt


class Writer:
    """Add chunks of rows to one data set, inside the caller's transaction."""

    def __init__(self, dataset: Dataset, judges: dict[str, str], source: Prompt.Source) -> None:
        self.dataset = dataset
        self.sources = {column: Judgement.Source(who) for who, column in judges.items()}
        self.judges = {column: imported_judge(column) for column in self.sources}
        self.source = source
        top = Prompt.objects.filter(dataset=dataset).aggregate(top=Max("position"))["top"]
        self.position = 0 if top is None else top + 1
        demonstrations = dataset.kind == Dataset.Kind.DEMONSTRATIONS
        self.purpose = Response.Purpose.TARGET if demonstrations else Response.Purpose.CANDIDATE

    def write(self, chunk: Sequence[tuple[ImportedRow, int]]) -> int:
        """Store new rows. Returns the number of rows that added something."""
        rows = [row for row, _ in chunk]
        hashes = [row.content_hash for row in rows]
        prompts, fresh = self._prompts(rows, hashes)
        first_of = {key: number for number, key in reversed(list(enumerate(hashes)))}
        added = [key in fresh and first_of[key] == number for number, key in enumerate(hashes)]
        if any(row.responses for row in rows):
            responses, new = self._responses(rows, hashes, prompts, fresh)
            for number, row_keys in enumerate(new):
                added[number] |= row_keys
            if self.sources:
                for number, any_new in enumerate(self._judgements(rows, hashes, prompts, responses)):
                    added[number] |= any_new
            if self.dataset.kind == Dataset.Kind.PREFERENCES:
                for number, is_new in enumerate(self._pairs(rows, hashes, prompts, responses)):
                    added[number] |= is_new
        return sum(added)

    def _prompts(self, rows: Sequence[ImportedRow], hashes: list[str]) -> tuple[dict[str, Prompt], set[str]]:
        known = {
            prompt.content_hash: prompt
            for prompt in Prompt.objects.filter(dataset=self.dataset, content_hash__in=hashes).only(*_NEEDED)
        }
        fresh: dict[str, Prompt] = {}
        for row, key in zip(rows, hashes, strict=True):
            if key not in known and key not in fresh:
                fresh[key] = Prompt(
                    dataset=self.dataset,
                    source=self.source,
                    messages=list(row.messages),
                    text=row.text,
                    content_hash=key,
                    position=self.position,
                    meta=row.meta,
                    checks=list(row.checks),
                )
                self.position += 1
            elif row.checks and list(row.checks) != (known.get(key) or fresh[key]).checks:
                raise ImportRefused(
                    f"the prompt {row.text[:80]!r} is in the data set with other checks; import it under another name, "
                    "or give one row per prompt"
                )
        Prompt.objects.bulk_create(fresh.values(), batch_size=BATCH)
        return known | fresh, set(fresh)

    def _responses(
        self, rows: Sequence[ImportedRow], hashes: list[str], prompts: dict[str, Prompt], fresh: set[str]
    ) -> tuple[dict[tuple[int, str], Response], list[bool]]:
        """Return the responses by (prompt, text), and for each row whether it added one."""
        known: dict[tuple[int, str], Response] = {}
        next_index: dict[int, int] = {}
        old = [prompts[key].pk for key in set(hashes) - fresh]
        if old:
            there = Response.objects.filter(
                prompt__in=old, iteration=None, purpose=self.purpose, source=Response.Source.IMPORTED
            ).only("id", "prompt_id", "index", "text")
            for response in there.order_by("index"):
                known[response.prompt_id, response.text] = response
                next_index[response.prompt_id] = response.index + 1
        new: list[Response] = []
        brought: list[bool] = []
        for row, key in zip(rows, hashes, strict=True):
            prompt = prompts[key]
            before = len(new)
            for item in row.responses:
                if (prompt.pk, item.text) in known:
                    continue
                index = next_index.get(prompt.pk, 0)
                next_index[prompt.pk] = index + 1
                known[prompt.pk, item.text] = response = self._response(prompt, index, item)
                new.append(response)
            brought.append(len(new) > before)
        Response.objects.bulk_create(new, batch_size=BATCH)
        return known, brought

    def _response(self, prompt: Prompt, index: int, item: ImportedResponse) -> Response:
        return Response(
            prompt=prompt,
            source=Response.Source.IMPORTED,
            purpose=self.purpose,
            index=index,
            text=item.text,
            weights=[list(span) for span in item.weights],
        )

    def _judgements(
        self,
        rows: Sequence[ImportedRow],
        hashes: list[str],
        prompts: dict[str, Prompt],
        responses: dict[tuple[int, str], Response],
    ) -> list[bool]:
        found = Judgement.objects.filter(
            response__in=[response.pk for response in responses.values()], source__in=self.sources.values()
        )
        known: set[tuple[int, str, int]] = set(found.values_list("response_id", "source", "judge"))
        new: list[Judgement] = []
        brought: list[bool] = []
        for row, key in zip(rows, hashes, strict=True):
            before = len(new)
            for item in row.responses:
                response = responses[prompts[key].pk, item.text]
                for score in item.scores:
                    source, judge = self.sources[score.column], self.judges[score.column]
                    if (response.pk, source, judge.pk) not in known:
                        known.add((response.pk, source, judge.pk))
                        new.append(_judgement(response, source, judge, score.score))
            brought.append(len(new) > before)
        Judgement.objects.bulk_create(new, batch_size=BATCH)
        return brought

    def _pairs(
        self,
        rows: Sequence[ImportedRow],
        hashes: list[str],
        prompts: dict[str, Prompt],
        responses: dict[tuple[int, str], Response],
    ) -> list[bool]:
        wanted = []
        for row, key in zip(rows, hashes, strict=True):
            chosen, rejected = (responses[prompts[key].pk, item.text] for item in row.responses)
            wanted.append((row, chosen, rejected))
        found = PreferencePair.objects.filter(iteration=None, chosen__in=[chosen.pk for _, chosen, _ in wanted])
        known: set[tuple[int, int]] = set(found.values_list("chosen_id", "rejected_id"))
        new: list[PreferencePair] = []
        brought: list[bool] = []
        for row, chosen, rejected in wanted:
            is_new = (chosen.pk, rejected.pk) not in known
            brought.append(is_new)
            if is_new:
                known.add((chosen.pk, rejected.pk))
                both = row.chosen_score is not None and row.rejected_score is not None
                new.append(
                    PreferencePair(
                        prompt_id=chosen.prompt_id,
                        chosen=chosen,
                        rejected=rejected,
                        chosen_score=row.chosen_score,
                        rejected_score=row.rejected_score,
                        margin=row.chosen_score - row.rejected_score if both else None,  # type: ignore[operator]
                        origin=PreferencePair.Origin.IMPORTED,
                    )
                )
        PreferencePair.objects.bulk_create(new, batch_size=BATCH)
        return brought


def _judgement(response: Response, source: Judgement.Source, judge: Judge, score: float | None) -> Judgement:
    """Build an imported judgement with one sample. Without a score it is unparsed."""
    parsed = score is not None
    return Judgement(
        response=response,
        source=source,
        judge=judge,
        samples=[{"raw": "", "score": score, "seed": None}],
        sample_count=1,
        parsed_count=int(parsed),
        score=score,
        spread=0.0 if parsed else None,
    )
