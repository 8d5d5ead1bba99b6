"""Self-instruct: new prompts from few-shot demonstrations, filtered against everything known (001 section 3.1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.domain.rows import Message, PromptDraft
from training.domain.seeds import derive_seed
from training.domain.self_instruct import PromptFilter, choose_demonstrations, read_instructions
from training.domain.templates import render_self_instruct
from training.engines.base import Engine, Request, Sampling, Unanswered

ROUND = 16  # requests sent together; demonstrations of a round are drawn from what earlier rounds gave
FRUITLESS_ROUNDS = 4  # rounds in a row that add nothing before the model is held to be unable


def write_prompts(
    seeds: Sequence[str],
    generated: Sequence[tuple[str, int]],
    *,
    count: int,
    engine: Engine,
    sampling: Sampling,
    seed: int,
    avoid: Sequence[str] = (),
    keep: PromptFilter | None = None,
) -> Iterator[PromptDraft]:
    """Yield the prompts that bring the total to ``count``, each with its round in ``meta``.

    ``generated`` are this iteration's prompts so far, each with its round. A round is a pure function of the seed and
    of the rounds before it, so the last one, which may have been cut off in the middle, is made again: it yields what
    is there already and then what is missing. Ends early when several rounds in a row add nothing. New prompts differ
    from the seeds, the earlier rounds and ``avoid``, what earlier iterations wrote. ``keep`` may be given to read its
    report of what each filter removed; it then holds the pool.
    """
    current = max((number for _, number in generated), default=0)
    known = [text for text, number in generated if number < current]
    keep = keep or PromptFilter([*seeds, *avoid, *known])
    made, fruitless = len(known), 0
    while made < count and fruitless < FRUITLESS_ROUNDS:
        before = made
        for text, finished in _replies(seeds, known, current, engine, sampling, seed):
            texts = read_instructions(text)
            for candidate in texts if finished else texts[:-1]:
                draft = keep.admit(candidate)
                if draft and made < count:
                    made += 1
                    known.append(draft.text)
                    yield PromptDraft(draft.text, {**draft.meta, "round": current})
        fruitless = 0 if made > before else fruitless + 1
        current += 1


def _replies(
    seeds: Sequence[str], known: Sequence[str], current: int, engine: Engine, sampling: Sampling, seed: int
) -> list[tuple[str, bool]]:
    """One round's texts, each with whether the model ended it by itself."""
    requests = []
    for number in range(current * ROUND, (current + 1) * ROUND):
        shown = choose_demonstrations(seeds, known, run_seed=seed, index=number)
        message: Message = {"role": "user", "content": render_self_instruct(shown)}
        requests.append(Request(str(number), (message,), derive_seed(seed, "write", number)))
    # In the order asked, not in the order finished: what is admitted must not depend on the engine's haste.
    replies = sorted(engine.generate(requests, sampling), key=lambda reply: int(reply.key))
    if lost := [reply for reply in replies if reply.finish_reason == "error"]:
        raise Unanswered.of(lost)
    return [(reply.text, reply.finish_reason != "length") for reply in replies]
