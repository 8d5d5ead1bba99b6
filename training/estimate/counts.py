"""Estimated number of rows and tokens of each stage. Lengths that depend on the run are assumed."""

from __future__ import annotations

import math
from typing import Final

from training.config import RunConfig, datasets
from training.evaluation.head_to_head import ORDERS

# In tokens.
PROMPT_TOKENS: Final = 60  # at most an eighth of max_length
JUDGE_PROMPT_TOKENS: Final = 340  # the additive template without question and response; at most a third of max_length
RESPONSE_SHARE: Final = 0.5  # mean response length relative to the limit
JUDGEMENT_TOKENS: Final = 120
SHOT_TOKENS: Final = 400  # a self-instruct prompt with eight demonstrations
# In rows.
ROWS_PER_DATASET: Final = 3_000
RANKED_RESPONSES: Final = 3  # per ranked prompt; Yuan et al. (2024) have 2.85
RANKED_KEPT: Final = 0.4  # share of the ranked responses whose judgement agrees with people and is used for training
PAIRS_KEPT: Final = 0.8  # share of prompts whose best and worst score differ


class Counts:
    """Number of rows of each stage."""

    def __init__(self, config: RunConfig, rows: dict[str, int]) -> None:
        self.unknown: list[str] = []
        self.rows = rows
        self._named = {named.field: named.names for named in datasets(config) if named.applies}
        known = self._rows("sft.datasets")
        self.sft = min(known, config.sft.limit or known)
        self.ranked = self._rows("eft.dataset") * RANKED_RESPONSES
        self.judging_rows = round(self.ranked * RANKED_KEPT)
        count = config.prompts.count
        if config.uses_ready_pairs:
            self.pairs = min(count, self._rows("pairs.from_dataset"))
            self.prompts = self.responses = self.judged = 0
            return
        if config.uses_recorded_responses:
            self.prompts = min(count, self._rows("candidates.from_dataset"))
            self.responses = 0
        else:
            self.prompts = count
            if config.prompts.source == "dataset" and config.prompts.dataset in rows:
                self.prompts = min(count, rows[config.prompts.dataset])
            self.responses = self.prompts * config.candidates.n
        candidates = self.responses or self.prompts * 4
        self.judged = candidates if config.judges_candidates else 0
        self.pairs = self.prompts if config.demonstrates else math.ceil(self.prompts * PAIRS_KEPT)

    def _rows(self, field: str) -> int:
        """Return the total rows of the data sets in a field, if it applies; unknown numbers are assumed."""
        names = self._named.get(field, ())
        self.unknown += [name for name in names if name not in self.rows]
        return sum(self.rows.get(name, ROWS_PER_DATASET) for name in names)


def prompt_tokens(config: RunConfig) -> int:
    """Return the tokens per prompt. A short ``max_length`` implies short prompts."""
    return min(PROMPT_TOKENS, config.student.max_length // 8)


def judge_prompt_tokens(config: RunConfig) -> int:
    """Return the tokens of the judge prompt without the response."""
    return min(JUDGE_PROMPT_TOKENS, config.student.max_length // 3) + prompt_tokens(config)


def judgement_tokens(config: RunConfig) -> float:
    """Return the tokens per judge's reply."""
    return min(JUDGEMENT_TOKENS, config.judging.max_new_tokens * RESPONSE_SHARE)


def response_tokens(limit: int) -> float:
    """Return the tokens per response with a limit of ``limit`` tokens."""
    return max(1.0, limit * RESPONSE_SHARE)


def stopping_checkpoints(config: RunConfig, counts: Counts) -> int:
    """Return the number of checkpoints that early stopping compares in one training, if it does not stop early."""
    stopping, training = config.training.early_stopping, config.training
    if stopping is None:
        return 0
    pairs = max(1, counts.pairs - training.held_out_pairs)
    steps = math.ceil(min(pairs, training.most_pairs_of_any or pairs) * training.epochs / training.batch_size)
    return math.ceil(steps / stopping.every)


def stopping_comparisons(config: RunConfig, counts: Counts) -> int:
    """Return the number of comparisons of early stopping in one training, in both orders of the answers."""
    stopping = config.training.early_stopping
    return max(0, stopping_checkpoints(config, counts) - 1) * stopping.count * ORDERS if stopping else 0
