"""Self-instruct: new prompts from few-shot demonstrations, filtered against everything known (001 section 3.1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.domain.rows import PromptDraft
from training.domain.seeds import derive_seed
from training.domain.self_instruct import PromptFilter, choose_demonstrations, read_instructions
from training.domain.templates import render_self_instruct
from training.engines.base import Engine, Request, Sampling

ROUND = 16  # requests sent together; demonstrations of a round are drawn from what earlier rounds gave
FRUITLESS_ROUNDS = 4  # rounds in a row that add nothing before the model is held to be unable


def write_prompts(
    seeds: Sequence[str],
    generated: Sequence[str],
    *,
    count: int,
    engine: Engine,
    sampling: Sampling,
    seed: int,
    keep: PromptFilter | None = None,
) -> Iterator[PromptDraft]:
    """Yield up to ``count`` new prompts that pass the filters; ``generated`` are those of this run so far.

    Ends early when several rounds in a row add nothing. ``keep`` may be given to read its report of what each filter
    removed.
    """
    known = list(generated)
    keep = keep or PromptFilter([*seeds, *generated])
    made, number, fruitless = 0, 0, 0
    while made < count and fruitless < FRUITLESS_ROUNDS:
        requests = []
        for _ in range(ROUND):
            shown = choose_demonstrations(seeds, known, run_seed=seed, index=number)
            message = {"role": "user", "content": render_self_instruct(shown)}
            requests.append(Request(str(number), (message,), derive_seed(seed, "write", number)))  # type: ignore[arg-type]
            number += 1
        # In the order asked, not in the order finished: what is admitted must not depend on the engine's haste.
        replies = sorted(engine.generate(requests, sampling), key=lambda reply: int(reply.key))
        before = made
        for reply in replies:
            texts = read_instructions(reply.text)
            for text in texts[:-1] if reply.finish_reason == "length" else texts:
                draft = keep.admit(text)
                if draft and made < count:
                    made += 1
                    known.append(draft.text)
                    yield draft
        fruitless = 0 if made > before else fruitless + 1
