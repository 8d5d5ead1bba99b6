"""Model requests of an evaluation, from the cost of each measure and the assumed lengths."""

from __future__ import annotations

from dataclasses import dataclass

from training.config import RunConfig
from training.estimate.counts import (
    RANKED_RESPONSES,
    Counts,
    judge_prompt_tokens,
    judgement_tokens,
    prompt_tokens,
    response_tokens,
)
from training.evaluation.measure import Requests
from training.evaluation.registry import MEASURES


@dataclass(frozen=True, slots=True)
class AssumedSizes:
    """The :class:`training.evaluation.measure.Sizes` of a config."""

    config: RunConfig
    counts: Counts

    @property
    def prompt(self) -> float:
        return prompt_tokens(self.config)

    @property
    def judge_prompt(self) -> float:
        return judge_prompt_tokens(self.config)

    @property
    def judgement(self) -> float:
        return judgement_tokens(self.config)

    def response(self, limit: int) -> float:
        return response_tokens(limit)

    def held_out_rankings(self, prompts: int) -> float:
        return min(prompts * RANKED_RESPONSES, self.counts.ranked * self.config.eft.eval_share)


def requests_of(config: RunConfig, counts: Counts, *, has_previous: bool) -> list[Requests]:
    """Return the requests of all measures for one checkpoint; ``has_previous`` is false for M1.

    The evaluator's requests of the same lengths are merged, and left out without an evaluator.
    """
    sizes = AssumedSizes(config, counts)
    student: list[Requests] = []
    evaluator: dict[tuple[float, float], float] = {}
    for measure in MEASURES:
        if measure.unmet(config, has_previous=has_previous):
            continue
        for requests in measure.cost(config, sizes):
            if requests.to == "student":
                student.append(requests)
            elif config.has_evaluator:
                lengths = requests.prompt_tokens, requests.reply_tokens
                evaluator[lengths] = evaluator.get(lengths, 0) + requests.count
    return student + [Requests("evaluator", count, *lengths) for lengths, count in evaluator.items()]


def requests_of_run(config: RunConfig, counts: Counts) -> list[Requests]:
    """Return the requests for all checkpoints of a run."""
    later = requests_of(config, counts, has_previous=True)
    return [*requests_of(config, counts, has_previous=False), *(one for _ in range(config.iterations) for one in later)]
