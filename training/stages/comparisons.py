"""Head-to-head comparison of two answers to a prompt in both orders (Yuan et al., 2024, section 3.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from training.domain.judges import Judge
from training.domain.metrics import both_orders_outcome
from training.domain.rows import ComparisonDraft, ComparisonItem, LeftOut, Refusal
from training.engines.asking import ask
from training.engines.base import Completion, Engine, Request, Sampling, Unanswered


def compare_responses(
    items: Sequence[ComparisonItem],
    engine: Engine,
    judge: Judge,
    sampling: Sampling,
    *,
    left_out: Callable[[LeftOut], None] = lambda _: None,
) -> Iterator[ComparisonDraft]:
    """Yield the outcome for A per prompt that was judged in both orders; conflicting verdicts are a tie.

    A reply that was cut at the token limit holds no verdict. An item of which an order is refused yields nothing and is
    passed to ``left_out``. If some requests were not answered, raises :class:`training.engines.base.Unanswered` after
    the last outcome.
    """
    calls: list[Request] = []
    for number, item in enumerate(items):
        for order, first, second in (("ab", item.a, item.b), ("ba", item.b, item.a)):
            text = judge.render_pair(item.prompt.messages, first.text, second.text)
            calls.append(Request(f"{number}:{order}", ({"role": "user", "content": text},), item.seed))
    half: dict[int, tuple[str, Completion]] = {}
    lost: list[Completion] = []
    for completion in ask(engine, calls, sampling):
        number, order = int(completion.key.split(":")[0]), completion.key.split(":")[1]
        if number not in half:
            half[number] = order, completion
            continue
        replies = dict([half.pop(number), (order, completion)])
        item = items[number]
        if failed := [reply for reply in replies.values() if reply.finish_reason == "error"]:
            if unanswered := [reply for reply in failed if not reply.refused]:
                lost += unanswered
            else:
                left_out(LeftOut(item.prompt.id, Refusal(failed[0].refusal, failed[0].error)))
            continue
        verdict_ab, verdict_ba = (
            judge.verdict(replies[order].text, cut=replies[order].finish_reason == "length") for order in ("ab", "ba")
        )
        yield ComparisonDraft(
            prompt_id=item.prompt.id,
            response_a_id=item.a.id,
            response_b_id=item.b.id,
            verdict_ab=verdict_ab,
            verdict_ba=verdict_ba,
            outcome=both_orders_outcome(verdict_ab, verdict_ba),
            raw_ab=replies["ab"].text,
            raw_ba=replies["ba"].text,
        )
    if lost:
        raise Unanswered.of(lost)
