"""The miniature's table: results of each paradigm on held-out prompts, built from scratch.

    python -m tests.benchmarks.miniature_table --seeds 1 2 3 --processes 2

For every seed it builds the miniature and fine-tunes M1, then runs each paradigm's preset to M3 with the project's own
engine, trainers and pairing, without a database. ``random`` is the control: the teacher's pairs in a random order.
``--split validation`` is for tuning settings (``--set training.beta=0.2``) without using the test prompts.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.miniature_report import PARADIGMS, Measured, seconds_to_m2, table

PROBES = 4  # answers per prompt for measuring the self-judge
EVALUATION_SEED = 71_000  # the same noise for every checkpoint, so that only the checkpoint differs


@dataclass(frozen=True)
class Task:
    """One unit of work: a seed's miniature and M1 (``paradigm`` empty), or a paradigm starting from that M1."""

    seed: int
    paradigm: str
    home: str
    split: str
    threads: int
    settings: tuple[str, ...]


def config_of(task: Task) -> Any:
    """Return the paradigm's preset with the task's settings. The control is teacher reward with random pairs."""
    from training.config import RunConfig, preset_data, with_overrides

    control = task.paradigm == "random"
    preset = "teacher-reward" if control or not task.paradigm else task.paradigm.replace("_", "-")
    own = [f"seed={task.seed}", *(["pairs.rule=random"] if control else [])]
    return RunConfig.parse(with_overrides(preset_data(f"miniature-{preset}"), [*own, *task.settings]))


@contextmanager
def student(model: str | Path, config: Any) -> Iterator[Any]:
    """Return the project's engine for a checkpoint."""
    from training.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(
        model, batch_size=config.engine.batch_size, dtype="float32", max_length=config.student.max_length
    )
    try:
        yield engine
    finally:
        engine.close()


def sampling_of(section: Any) -> Any:
    """Return the decoding parameters of a config section."""
    from training.engines.base import Sampling

    return Sampling(section.temperature, section.top_p, section.max_new_tokens)


def draw(engine: Any, prompts: Sequence[Any], section: Any, n: int, seed: int, purpose: str) -> list[Any]:
    """Generate ``n`` responses per prompt as rows, in order; a row's id is its index."""
    from training.domain.rows import ResponseRow
    from training.domain.seeds import derive_seed
    from training.stages.responses import ResponseRequest, generate_responses

    asked = [
        ResponseRequest(prompt, index, derive_seed(seed, purpose, prompt.text, index))
        for prompt in prompts
        for index in range(n)
    ]
    made = {(d.prompt_id, d.index): d.text for d in generate_responses(asked, engine, sampling_of(section))}
    return [
        ResponseRow(place, request.prompt.id, request.index, made[request.prompt.id, request.index])
        for place, request in enumerate(asked)
    ]


def judge(engine: Any, prompts: Sequence[Any], responses: Sequence[Any], config: Any, seed: int) -> dict[int, Any]:
    """Return the judgement of every response, by response id."""
    from training import judges
    from training.domain.seeds import derive_seed
    from training.stages.judgements import JudgeItem, judge_responses

    by_id = {prompt.id: prompt for prompt in prompts}
    items = [
        JudgeItem(
            row,
            by_id[row.prompt_id],
            tuple(derive_seed(seed, "judge", by_id[row.prompt_id].text, row.index, k) for k in range(config.judging.k)),
        )
        for row in responses
    ]
    drafts = judge_responses(items, engine, judges.get(config.judging.template), sampling_of(config.judging))
    return {draft.response_id: draft for draft in drafts}


def prompt_rows(path: Path) -> list[Any]:
    """Read a prompts file as prompt rows."""
    from training.domain.rows import PromptRow

    texts = [json.loads(line)["prompt"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [PromptRow(place, ({"role": "user", "content": text},)) for place, text in enumerate(texts)]


def measure(model: Path, task: Task, checkpoint: str, held_out: Sequence[Any], config: Any, folder: Path) -> Measured:
    """Measure held-out answers, and the student's judgements of its own answers, against the oracle.

    The student also judges M1's answers, because its own become harder to distinguish as it improves.
    """
    from training.domain.metrics import parse_rate
    from training.miniature.oracle import grade

    began = time.monotonic()
    text_of = {prompt.id: prompt.last_turn for prompt in held_out}
    kept = folder / "M1-answers.json"
    with student(model, config) as engine:
        answers = draw(engine, held_out, config.evaluation, 1, EVALUATION_SEED, "evaluation")
        greedy = config.evaluation.model_copy(update={"temperature": 0.0})
        greedy_answers = draw(engine, held_out, greedy, 1, EVALUATION_SEED, "greedy")
        probed = held_out[: config.evaluation.self_judge_prompts]
        probes = draw(engine, probed, config.candidates, PROBES, EVALUATION_SEED, "probe")
        judged = judge(engine, probed, probes, config, EVALUATION_SEED)
        own = agreement(text_of, probes, judged)
        of_m1 = own
        if checkpoint == "M1":
            kept.write_text(json.dumps([row.text for row in probes]), encoding="utf-8")
        else:
            texts = json.loads(kept.read_text(encoding="utf-8"))
            first = [replace(row, text=text) for row, text in zip(probes, texts, strict=True)]
            of_m1 = agreement(text_of, first, judge(engine, probed, first, config, EVALUATION_SEED))
    grades = [grade(text_of[row.prompt_id], row.text) for row in answers]
    return Measured(
        seed=task.seed,
        paradigm=task.paradigm,
        checkpoint=checkpoint,
        right=[result.right for result in grades],
        scores=[result.score for result in grades],
        greedy_right=sum(grade(text_of[row.prompt_id], row.text).right for row in greedy_answers),
        parse_rate=parse_rate(sample.score for draft in judged.values() for sample in draft.samples),
        pairwise=own.untied_right,
        untied=own.untied,
        ordered=own.ordered,
        unequal=own.unequal,
        ordered_of_m1=of_m1.ordered,
        unequal_of_m1=of_m1.unequal,
        seconds={"evaluation": time.monotonic() - began},
    )


@dataclass(frozen=True)
class Agreement:
    """How a judge orders pairs of answers to one prompt with different oracle scores."""

    untied_right: float | None
    untied: int
    ordered: float | None
    unequal: int


def agreement(text_of: dict[int, str], rows: Sequence[Any], judged: dict[int, Any]) -> Agreement:
    """Return the agreement. ``ordered`` counts ties as not ordered; ``untied_right`` excludes them."""
    from training.domain.metrics import pairwise_accuracy, pairwise_with_ties
    from training.miniature.oracle import grade

    truth = [grade(text_of[row.prompt_id], row.text).score for row in rows]
    own_scores = [[judged[row.id].mean for row in rows[at : at + PROBES]] for at in range(0, len(rows), PROBES)]
    true_scores: list[list[float | None]] = [list(truth[at : at + PROBES]) for at in range(0, len(truth), PROBES)]
    untied_right, untied = pairwise_accuracy(own_scores, true_scores)
    _, unequal = pairwise_with_ties(own_scores, true_scores)
    ordered = None if untied_right is None else untied_right * untied / unequal
    return Agreement(untied_right, untied, ordered, unequal)


def make_pairs(model: Path, task: Task, prompts: Sequence[Any], config: Any) -> tuple[list[dict[str, Any]], int]:
    """Return training rows by the paradigm's rule, and how many of them the oracle orders the same way."""
    from training.domain.pairing import demonstration_pairs, max_min_pairs, random_pairs
    from training.domain.rows import PairDraft, ResponseRow, ScoredResponse
    from training.engines.oracle import OracleEngine
    from training.miniature.oracle import grade

    by_id = {prompt.id: prompt for prompt in prompts}
    with student(model, config) as engine:
        rows = draw(engine, prompts, config.candidates, config.candidates.n, task.seed, "candidate")
        teacher = engine if task.paradigm == "self_reward" else OracleEngine()
        text_of = {row.id: row.text for row in rows}
        if task.paradigm == "teacher_demonstration":
            shown = [
                ResponseRow(len(rows) + row.id, row.prompt_id, 0, row.text)
                for row in draw(teacher, prompts, config.candidates, 1, task.seed, "demonstration")
            ]
            text_of |= {row.id: row.text for row in shown}
            outcomes = demonstration_pairs(shown, rows)
        else:
            judged = judge(teacher, prompts, rows, config, task.seed)
            scored = [ScoredResponse(r.id, r.prompt_id, r.index, r.text, judged[r.id].mean) for r in rows]
            rule = config.pairs
            outcomes = (
                random_pairs(scored, run_seed=task.seed)
                if rule.rule == "random"
                else max_min_pairs(scored, min_margin=rule.min_margin)
            )
    drafts = [outcome for outcome in outcomes if isinstance(outcome, PairDraft)]

    def score(prompt_id: int, response_id: int) -> int:
        return grade(by_id[prompt_id].text, text_of[response_id]).score

    in_order = sum(score(d.prompt_id, d.chosen_id) > score(d.prompt_id, d.rejected_id) for d in drafts)
    return [
        {
            "prompt": list(by_id[draft.prompt_id].messages),
            "chosen": [{"role": "assistant", "content": text_of[draft.chosen_id]}],
            "rejected": [{"role": "assistant", "content": text_of[draft.rejected_id]}],
            "pair_id": place,
        }
        for place, draft in enumerate(drafts)
    ], in_order


def run_task(task: Task) -> list[dict[str, Any]]:
    """Run one task and measure its checkpoints. Runs in a separate process."""
    import torch
    import transformers

    from training.miniature.build import build

    torch.set_num_threads(task.threads)
    transformers.utils.logging.disable_progress_bar()
    began = time.monotonic()
    made = build(Path(task.home), task.seed)
    built = time.monotonic() - began
    held_out = prompt_rows(made.prompts_test if task.split == "test" else made.prompts_validation)
    config = config_of(task)
    folder = Path(task.home) / "table" / f"seed-{task.seed}"
    found = _fine_tuned(task, made, folder, config) if not task.paradigm else _iterated(task, made, folder, config)
    results = []
    for checkpoint, model, facts, seconds in found:
        result = measure(model, task, checkpoint, held_out[: config.evaluation.count], config, folder)
        result.pairs, result.pairs_in_order = facts
        result.seconds |= seconds | {"build": built}
        results.append(asdict(result))
        print(_line(result), flush=True)
    return results


def _line(result: Measured) -> str:
    parse, ordered = result.parse_rate or 0, result.ordered or 0
    return (
        f"  seed {result.seed} {result.paradigm or 'M1'} {result.checkpoint}: {sum(result.right)} right, greedy "
        f"{result.greedy_right}, parsed {parse:.3f}, ordered {ordered:.3f} of {result.unequal}, "
        f"{result.pairs_in_order} of {result.pairs} pairs in order, {result.seconds}"
    )


Found = tuple[str, Path, tuple[int, int], dict[str, float]]


def _fine_tuned(task: Task, made: Any, folder: Path, config: Any) -> Iterator[Found]:
    from training.trainers.sft import train_sft

    began = time.monotonic()
    rows = [
        json.loads(line)
        for file in (made.ift, made.eft, made.replay)
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    trained = train_sft(
        rows,
        model=str(made.m0),
        output_dir=folder / "M1",
        config=config.sft,
        seed=task.seed,
        report=lambda point: None,
        should_stop=lambda: False,
        max_length=config.student.max_length,
        dtype="float32",
    )
    yield "M1", trained.model_dir, (0, 0), {"fine-tuning": time.monotonic() - began}


def _iterated(task: Task, made: Any, folder: Path, config: Any) -> Iterator[Found]:
    from training.domain.seeds import derive_seed
    from training.trainers.preference import train_preference

    first = model = folder / "M1" / "model"
    prompts = sorted(prompt_rows(made.prompts), key=lambda row: derive_seed(config.seed, "prompts", row.text))
    count = config.prompts.count
    for step in range(config.iterations):
        began = time.monotonic()
        pairs, in_order = make_pairs(model, task, prompts[step * count : (step + 1) * count], config)
        paired = time.monotonic() - began
        trained = train_preference(
            pairs,
            model=str(model),
            reference=str({"previous": model, "m1": first, "base": made.m0}[config.training.reference]),
            output_dir=folder / task.paradigm / f"M{step + 2}",
            config=config.training,
            seed=derive_seed(task.seed, "training", step),
            report=lambda point: None,
            should_stop=lambda: False,
            max_length=config.student.max_length,
            dtype="float32",
        )
        model = trained.model_dir
        seconds = {"pairs": paired, "training": time.monotonic() - began - paired}
        yield f"M{step + 2}", model, (len(pairs), in_order), seconds


def main() -> None:
    """Run the tasks, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--paradigms", nargs="+", choices=PARADIGMS, default=list(PARADIGMS))
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--processes", type=int, default=1, help="tasks at the same time")
    parser.add_argument(
        "--home", type=Path, help="folder that keeps miniatures and checkpoints; by default all are built anew"
    )
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="FIELD=VALUE", help="settings that override the presets"
    )
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    threads = max(1, (os.cpu_count() or 1) // options.processes)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory(prefix="miniature-table-") as fresh:
        home = str(options.home or fresh)

        def tasks(paradigms: Sequence[str]) -> list[Task]:
            return [
                Task(seed, paradigm, home, options.split, threads, tuple(options.set))
                for seed in options.seeds
                for paradigm in paradigms
            ]

        with multiprocessing.get_context("spawn").Pool(options.processes, maxtasksperchild=1) as pool:
            found = pool.map(run_task, tasks([""]), chunksize=1)
            found += pool.map(run_task, tasks(options.paradigms), chunksize=1)
    results = [Measured(**row) for rows in found for row in rows]
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results]), encoding="utf-8")
    print(table(results))
    print(seconds_to_m2(results))


if __name__ == "__main__":
    main()
