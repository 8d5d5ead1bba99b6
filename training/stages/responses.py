"""Candidate responses, demonstrations and evaluation answers: whatever a model writes to a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.domain.rows import PromptRow, ResponseDraft
from training.domain.templates import with_short_answer
from training.engines.base import Completion, Engine, Request, Sampling, Unanswered


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """The ``index``-th response to a prompt, to be drawn from ``seed``."""

    prompt: PromptRow
    index: int
    seed: int


def generate_responses(
    requests: Sequence[ResponseRequest], engine: Engine, sampling: Sampling, *, short_answers: bool = False
) -> Iterator[ResponseDraft]:
    """Yield a draft for every response that came back, in the order in which they finish.

    With ``short_answers`` the model sees each prompt in the frame of 000 figure 3, which is no part of the prompt.
    One that the engine refused to make is not yielded and stays missing. Where some were not answered at all, raises
    :class:`training.engines.base.Unanswered` after the last that came, so that a later attempt asks for them again.
    """
    asked = {str(number): request for number, request in enumerate(requests)}
    frame = with_short_answer if short_answers else tuple
    calls = [Request(key, frame(request.prompt.messages), request.seed) for key, request in asked.items()]
    lost: list[Completion] = []
    for completion in engine.generate(calls, sampling):
        if completion.finish_reason == "error":
            lost += [] if completion.refused else [completion]
            continue
        request = asked[completion.key]
        yield ResponseDraft(
            prompt_id=request.prompt.id,
            index=request.index,
            text=completion.text,
            seed=completion.seed,
            token_count=completion.token_count,
            finish_reason=completion.finish_reason,
            logprob=completion.logprob,
        )
    if lost:
        raise Unanswered.of(lost)
