"""Generate responses to prompts: candidates, demonstrations and evaluation answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from training.domain.rows import LeftOut, PromptRow, Refusal, ResponseDraft
from training.domain.templates import with_short_answer
from training.engines.asking import ask
from training.engines.base import Completion, Engine, Request, Sampling, Unanswered


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """A request for the ``index``-th response to a prompt, sampled with ``seed``."""

    prompt: PromptRow
    index: int
    seed: int


def generate_responses(
    requests: Sequence[ResponseRequest],
    engine: Engine,
    sampling: Sampling,
    *,
    short_answers: bool = False,
    left_out: Callable[[LeftOut], None] = lambda _: None,
) -> Iterator[ResponseDraft]:
    """Yield response drafts in the order in which they finish.

    ``short_answers`` wraps each prompt in the instruction of Luo et al., figure 3, without changing the saved prompt.
    Refused requests yield nothing and are passed to ``left_out``. If some requests were not answered, raises
    :class:`training.engines.base.Unanswered` after the last draft, so that a later attempt repeats them.
    """
    requests_by_key = {str(number): request for number, request in enumerate(requests)}
    frame = with_short_answer if short_answers else tuple
    calls = [Request(key, frame(request.prompt.messages), request.seed) for key, request in requests_by_key.items()]
    lost: list[Completion] = []
    for completion in ask(engine, calls, sampling):
        request = requests_by_key[completion.key]
        if completion.finish_reason == "error":
            if completion.refused:
                left_out(LeftOut(request.prompt.id, Refusal(completion.refusal, completion.error)))
            else:
                lost.append(completion)
            continue
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
