"""LLM-as-a-judge: k sampled replies per response; the score is the mean of the parsed ones.

Source: Yuan et al. (2024), section 3.1.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from training.domain.judges import Judge
from training.domain.judging import average
from training.domain.rows import JudgementDraft, JudgementSample, LeftOut, PromptRow, Refusal, ResponseRow
from training.engines.asking import ask
from training.engines.base import Completion, Engine, FollowingEngine, Request, Sampling, Unanswered


@dataclass(frozen=True, slots=True)
class JudgeItem:
    """A response to judge once per seed."""

    response: ResponseRow
    prompt: PromptRow
    seeds: tuple[int, ...]


def judge_responses(
    items: Sequence[JudgeItem],
    engine: Engine,
    judge: Judge,
    sampling: Sampling,
    *,
    left_out: Callable[[LeftOut], None] = lambda _: None,
) -> Iterator[JudgementDraft]:
    """Yield each judgement as soon as all its replies have arrived.

    Refused requests do not count as replies; a response without any reply yields no judgement and is passed to
    ``left_out``. If some requests were not answered, their responses yield no judgement either, and
    :class:`training.engines.base.Unanswered` is raised after the last one, so that a later attempt repeats them.
    """
    judging = _Judging(judge, left_out)
    return judging.drafts(ask(engine, judging.requests(items), sampling))


def judge_arriving(
    inflow: Callable[[], Sequence[JudgeItem] | None], engine: FollowingEngine, judge: Judge, sampling: Sampling
) -> Iterator[JudgementDraft]:
    """Like :func:`judge_responses`, for responses that arrive over time.

    ``inflow`` returns the new responses on each call, and ``None`` at the end.
    """
    judging = _Judging(judge)

    def requests() -> list[Request] | None:
        items = inflow()
        return None if items is None else judging.requests(items)

    return judging.drafts(engine.follow(requests, sampling))


class _Judging:
    """Assigns replies to the responses they judge."""

    def __init__(self, judge: Judge, left_out: Callable[[LeftOut], None] = lambda _: None) -> None:
        self.judge, self.left_out = judge, left_out
        self.items: list[JudgeItem] = []

    def requests(self, items: Sequence[JudgeItem]) -> list[Request]:
        """Return the requests for these responses, one per seed."""
        calls: list[Request] = []
        for number, item in enumerate(items, start=len(self.items)):
            prompt = self.judge.render(item.prompt.messages, item.response.text)
            calls += [
                Request(f"{number}:{k}", ({"role": "user", "content": prompt},), seed)
                for k, seed in enumerate(item.seeds)
            ]
        self.items += items
        return calls

    def drafts(self, completions: Iterator[Completion]) -> Iterator[JudgementDraft]:
        """Yield the judgement of each response once all its replies have arrived."""
        replies: dict[int, list[Completion]] = {}
        lost: list[Completion] = []
        for completion in completions:
            number = int(completion.key.split(":")[0])
            received = replies.setdefault(number, [])
            received.append(completion)
            if len(received) == len(self.items[number].seeds):
                whole = replies.pop(number)
                if unanswered := [reply for reply in whole if reply.finish_reason == "error" and not reply.refused]:
                    lost += unanswered
                elif draft := _judgement(self.items[number], whole, self.judge):
                    yield draft
                else:
                    refusal = Refusal(whole[0].refusal, whole[0].error)
                    self.left_out(LeftOut(self.items[number].prompt.id, refusal))
        if lost:
            raise Unanswered.of(lost)


def _judgement(item: JudgeItem, received: list[Completion], judge: Judge) -> JudgementDraft | None:
    order = {seed: place for place, seed in enumerate(item.seeds)}
    replies = [reply for reply in received if reply.finish_reason != "error"]
    replies.sort(key=lambda reply: order[reply.seed])
    if not replies:
        return None
    samples = tuple(_sample(reply, judge) for reply in replies)
    mean, spread = average(samples)
    shown = next((sample for sample in samples if sample.score is not None), samples[0])
    return JudgementDraft(item.response.id, samples, mean, spread, judge.rationale(shown.raw))


def _sample(reply: Completion, judge: Judge) -> JudgementSample:
    """Return one raw reply with its score on the run's scale of 0 to 5."""
    cut = reply.finish_reason == "length"
    given = judge.read(reply.text, cut=cut).score
    return JudgementSample(reply.text, None if given is None else judge.to_run_scale(given), reply.seed, given, cut)
