"""Effect of 50, 100 and 200 human corrections on a drifting judge, on the miniature.

    python -m tests.benchmarks.corrections [--seeds 1 2 3] [--counts 50 100 200] [--home FOLDER] [--json FILE]

Per seed, a self-reward run goes to M3 through the real services. The oracle plays the annotators: it answers a held-out
score queue of M3's answers (100 prompts x 4) and, ordered by impact, a second queue of M3's other answers. After each
number of usable corrections a new run starts from M3: it is fine-tuned on 400 evaluation rows, with the corrections
(three times each) or without, and runs one more self-reward iteration. Every judge then scores the held-out answers.
The settings were chosen on seed 11, which is not in the table. ``--home`` keeps built miniatures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent.parent
HELD_SHARE = 0.25  # of M3's prompts: 100 of 400
MEASURES: tuple[Literal["pairwise", "kappa"], ...] = ("pairwise", "kappa")
REHEARSAL, REPEAT = 400, 3
FROM_M3: dict[str, Any] = {
    "learning_rate": 3e-4, "final_learning_rate": 3e-5, "datasets": ["miniature-eft"], "limit": REHEARSAL,
    "corrections_repeat": REPEAT,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--counts", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--home", type=Path, help="folder that keeps built miniatures; by default all are built anew")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="FIELD=VALUE", help="settings that override those of every run"
    )
    parser.add_argument("--one", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, sorted(options.counts), options.home, options.set)))
        return
    with tempfile.TemporaryDirectory(prefix="plumbline-") as fresh:
        kept = options.home or Path(fresh) / "kept"
        found = [_apart(seed, options.counts, kept, options.set) for seed in options.seeds]
    if options.json:
        options.json.write_text(json.dumps(found), encoding="utf-8")
    print(table(found))


def _apart(seed: int, counts: list[int], kept: Path, changes: list[str]) -> dict[str, Any]:
    """Run one seed in a separate process and data folder."""
    words = ["--one", str(seed), "--home", str(kept), "--counts", *map(str, counts), "--set", *changes]
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        environment = os.environ | {"PLUMBLINE_HOME": folder, "LOG_LEVEL": "ERROR", "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, "-m", "tests.benchmarks.corrections", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(table([found]), flush=True)
    return found


def measure(seed: int, counts: list[int], kept: Path, changes: list[str]) -> dict[str, Any]:
    """Measure one seed. Returns plain rows."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alignment_app.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from alignment_app.services.demo import import_miniature
    from training.miniature.build import build

    began = time.monotonic()
    call_command("migrate", verbosity=0)
    made = build(kept, seed)
    import_miniature(made.directory)
    people = _people()
    run = _base_run(seed, str(made.m0), people["lena"], changes)
    told = f"seed {seed}: M3 made after {time.monotonic() - began:.0f} s"
    print(told, file=sys.stderr, flush=True)
    held, corrected = _queues(run, people["lena"])
    _answer(held, people["olga"])
    arms = []
    for count in [0, *counts]:
        given = _answer(corrected, people["olga"], until=count) if count else 0
        arms.append({"corrections": given, **_arm(seed, run, count, people["lena"], settings.HOME, changes)})
        print(f"seed {seed}: {given} corrections after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return {"seed": seed, "M3": _figures(run, "M3"), "arms": arms, "seconds": time.monotonic() - began}


def _people() -> dict[str, Any]:
    from django.contrib.auth.models import Group, User

    found = {}
    for name, role in (("lena", "lead"), ("olga", "annotator")):
        found[name] = User.objects.create_user(username=name, password=f"{name}-password")
        found[name].groups.add(Group.objects.get_or_create(name=role)[0])
    return found


def _drive(run: Any) -> None:
    """Perform the jobs of all queues one after another."""
    from alignment_app.models import Stage
    from training.jobs import work

    while stage := Stage.objects.filter(iteration__run=run, status=Stage.Status.QUEUED).first():
        work(run.pk, stage.queue)
    run.refresh_from_db()


def _base_run(seed: int, m0: str, lead: Any, more: list[str]) -> Any:
    """Run self-reward to M3, until the answers of the third iteration wait for people."""
    from alignment_app.services import runs
    from training.config import RunConfig, preset_data, with_overrides

    changes = [
        f"seed={seed}", f"student.model={m0}", "iterations=3", "review.enabled=true", "evaluation.self_judge=false",
        "evaluation.enabled=false", *more,
    ]  # fmt: skip
    run = runs.launch(RunConfig.parse(with_overrides(preset_data("miniature-self-reward"), changes)), user=lead)
    for number in (1, 2):
        _drive(run)
        runs.approve_review(run.iterations.get(number=number), user=lead)
    _drive(run)
    assert run.status == "waiting", run.status_reason
    return run


def _queues(run: Any, lead: Any) -> tuple[Any, Any]:
    from labeling.services.queues import NewQueue, make_queue

    iteration = run.iterations.get(number=3)
    responses = run.config["prompts"]["count"] * run.config["candidates"]["n"]
    held = NewQueue(
        "Held out", "score", order="arrival", limit=int(HELD_SHARE * responses), held_out=True, min_seconds=0.0
    )  # fmt: skip
    corrections = NewQueue("Corrections", "score", order="impact", min_seconds=0.0)
    return make_queue(held, by=lead, iteration=iteration), make_queue(corrections, by=lead, iteration=iteration)


def _answer(queue: Any, person: Any, until: int | None = None) -> int:
    """Answer items with the oracle, all or up to a number of usable corrections. Returns that number."""
    from labeling.selectors.corrections import scores_of, usable
    from labeling.services import leases, reviews
    from labeling.services.answers import Answer
    from training.miniature.oracle import grade

    while True:
        have = usable(scores_of(queue)).count() if until else 0
        if until and have >= until:
            return have
        assignment = leases.next_task(queue, person)
        if assignment is None:
            return have
        task = assignment.task
        found = grade(task.prompt.text, task.first.text)
        reviews.submit(assignment, Answer("score", score=float(found.score), reason=found.reason))


def _arm(seed: int, base: Any, count: int, lead: Any, home: Path, changes: list[str]) -> dict[str, Any]:
    """Run one more iteration from M3, with or without the corrections so far."""
    from alignment_app.services import runs
    from training.config import RunConfig, preset_data, with_overrides

    data = preset_data("miniature-self-reward")
    m3 = base.checkpoints.get(number=3)
    data |= {"name": f"From M3, {count} corrections", "iterations": 1, "seed": 1000 + seed}
    data["student"] |= {"model": str(home / m3.location)}
    data["sft"] |= {**FROM_M3, "corrections": "same_data" if count else "none"}
    data["prompts"] |= {"count": 250}
    data["evaluation"] |= {"self_judge": False}
    run = runs.launch(RunConfig.parse(with_overrides(data, changes)), user=lead, cloned_from=base)
    _drive(run)
    assert run.status == "finished", run.status_reason
    return {name: _figures(run, name) for name in ("M1", "M2")}


def _figures(run: Any, name: str) -> dict[str, Any]:
    """Return (judge, people) scores of held-out answers by prompt, and the rightly answered held-out questions."""
    from alignment_app.models import Judgement, Response
    from labeling.models import Queue
    from labeling.selectors.calibration import blind_scores

    checkpoint = run.checkpoints.get(number=int(name[1:]))
    people = blind_scores(Queue.objects.filter(held_out=True))
    own = Judgement.objects.filter(judge__checkpoint=checkpoint, source="self", response__in=list(people))
    held: dict[int, list[tuple[float, float]]] = {prompt: [] for prompt, _ in people.values()}
    for response, score in own.order_by("response").values_list("response", "score"):
        prompt, said = people[response]
        if score is not None:
            held[prompt].append((score, said))
    answers = Response.objects.filter(checkpoint=checkpoint, purpose="evaluation")
    grades = dict(
        Judgement.objects.filter(response__in=answers, source="teacher").values_list("response__prompt__text", "score")
    )
    return {
        "held": [held[prompt] for prompt in sorted(held)],
        "right": [float((grades[text] or 0) >= 3) for text in sorted(grades)],
    }


def table(found: list[dict[str, Any]]) -> str:
    """Return the table of each judge and of the next iteration's right answers, per seed and pooled."""
    from training.domain.calibration import calibrate, mean_change, measure_change

    head: tuple[str, ...] = (
        "seed", "corrections", "pairwise of M1'", "quadratic κ of M1'", "pairwise of M2'", "κ of M2'", "M2' right",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for one in found:
        m3 = calibrate(one["M3"]["held"])
        lines.append(
            f"| {one['seed']} | M3 untouched | {_shown(m3.pairwise)} of {m3.pairs} | {_shown(m3.kappa)} | | | |"
        )
        for arm in one["arms"]:
            first, second = calibrate(arm["M1"]["held"]), calibrate(arm["M2"]["held"])
            right = arm["M2"]["right"]
            lines.append(
                f"| {one['seed']} | {arm['corrections']} | {_shown(first.pairwise)} | {_shown(first.kappa)} | "
                f"{_shown(second.pairwise)} | {_shown(second.kappa)} | {sum(right):.0f} of {len(right)} |"
            )
    lines += ["", "Against the same run without corrections, all seeds together:", ""]
    head = (
        "corrections",
        "pairwise of M1'",
        "quadratic κ of M1'",
        "pairwise of M2'",
        "κ of M2'",
        "M2' right, per cent",
    )
    lines += ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for place, arm in enumerate(found[0]["arms"]):
        if not place:
            continue
        cells = [str(arm["corrections"])]
        for model in ("M1", "M2"):
            without = [row for one in found for row in one["arms"][0][model]["held"]]
            having = [row for one in found for row in one["arms"][place][model]["held"]]
            cells += [_moved(measure_change(without, having, measure)) for measure in MEASURES]
        without, having = (
            [[100 * value] for one in found for value in one["arms"][number]["M2"]["right"]] for number in (0, place)
        )
        cells.append(_moved(mean_change(without, having), places=1))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _shown(figure: Any) -> str:
    if figure.value is None:
        return "–"
    return (
        f"{figure.value:.3f} ({figure.low:.2f} to {figure.high:.2f})" if figure.low is not None else str(figure.value)
    )


def _moved(figure: Any, places: int = 3) -> str:
    if figure.value is None:
        return "–"
    return f"{figure.value:+.{places}f} ({figure.low:+.{places}f} to {figure.high:+.{places}f})".replace("-", "−")


if __name__ == "__main__":
    main()
