"""kill -9 at random moments: does a run's state stay correct, does it continue, and are its rows the same?

    python -m tests.benchmarks.kill_nine --target job|worker|web|valkey|up|stale [--times 10]

Starts everything with ``manage.py up`` on a separate data folder, lets one run finish undisturbed, then launches the
same run again and kills the target while it works, ``--times`` times in total, over as many runs as necessary. After
each kill it measures how long the web process served a wrong state (a dead process, a difference to the database, or
no answer), and how long until work continued. At the end all rows of each disturbed run, including the hashes of the
weights, are compared with the undisturbed run. The target ``stale`` is stopped instead of killed, until its lease has
expired and another process does its work, and is then continued. The student is an untrained model with about ten
thousand parameters; the oracle is its teacher.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.rows import compare, counts, rows_of
from tests.benchmarks.sockets import make_session, setup
from tests.benchmarks.system import System, is_alive

TARGETS = ("job", "worker", "web", "valkey", "up", "stale")
TRUE_WITHIN_SECONDS = 60.0
RUN_LIMIT_SECONDS = 900.0
STOPPED = ("failed", "crashed", "paused", "cancelled")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=TARGETS, nargs="+", required=True, help="several targets alternate")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments of the kills")
    parser.add_argument("--every", type=float, default=12.0, help="mean time between kills (s)")
    parser.add_argument("--small", action="store_true", help="a run of a few seconds, for a test")
    parser.add_argument(
        "--teaching",
        action="store_true",
        help="a run that builds judging rows and writes its own prompts",
    )
    parser.add_argument("--during", nargs="+", default=[], metavar="STAGE", help="kill in these kinds of stages only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        os.environ.update(PLUMBLINE_HOME=folder, CANCEL_GRACE_SECONDS="5")
        setup()
        from alignment_app.processes.supervisor import prepare_database

        prepare_database()
        config = make_world(Path(folder), small=options.small)
        config |= teaching_itself() if options.teaching else {}
        system = System(Path(folder), make_session(), workers=2 if "stale" in options.target else 1)
        try:
            return measure(system, config, options)
        finally:
            system.stop()


def make_world(home: Path, *, small: bool) -> dict[str, Any]:
    """Make data sets and a student. Returns the config of a run of a minute on two cores, or of seconds."""
    from tests.support.datasets import make_datasets
    from tests.support.students import save_little_student

    train, held_out, seed = (12, 4, 24) if small else (60, 20, 160)
    make_datasets(train=train, held_out=held_out, seed=seed)
    return {
        "name": "killed",
        "iterations": 1,
        "seed": 3,
        "teacher": {"kind": "oracle"},
        "engine": {"batch_size": 4 if small else 8},
        # The oracle gives noise equal scores, so pairs are made in a random order.
        "paradigm": "teacher_reward",
        "pairs": {"rule": "random"},
        "student": {"model": str(save_little_student(home / "student", width=64, layers=4)), "max_length": 2304},
        "sft": {"datasets": ["seed"], "batch_size": 4, "micro_batch_size": 4, "epochs": 4, "learning_rate": 1e-3},
        "prompts": {"dataset": "train", "count": train},
        "candidates": {"n": 4, "max_new_tokens": 48, "temperature": 1.0},
        "judging": {"k": 2, "max_new_tokens": 16},
        "training": {
            "batch_size": 2, "micro_batch_size": 2, "learning_rate": 1e-3, "epochs": 3, "save_steps": 10,
        },
        "evaluation": {"dataset": "held out", "count": held_out, "max_new_tokens": 48, "self_judge_prompts": 4},
    }  # fmt: skip


def teaching_itself() -> dict[str, Any]:
    """Return settings for a run with EFT and self-instruct, whose rows a local server writes."""
    from alignment_app.services.imports import import_rows
    from tests.support.writer import SEEDS, serve_writer

    import_rows("seed tasks", "prompts", [{"prompt": text} for text in SEEDS])
    texts = ("It is so.", "It may be so.", "It is not so.")
    ranked = [
        {"prompt": f"Is it so, {n}?", "responses": [{"text": text, "rank": rank} for rank, text in enumerate(texts, 1)]}
        for n in range(40)
    ]
    import_rows("ranked", "scored", ranked)
    return {
        "paradigm": "self_reward",
        "pairs": {},
        "teacher": {"kind": "none"},
        "engine": {"kind": "openai_compatible", "base_url": f"{serve_writer(0.2).address}/v1"},
        "eft": {"enabled": True, "dataset": "ranked", "k": 2},
        "prompts": {"source": "self_instruct", "dataset": "seed tasks", "count": 60},
    }


@dataclass
class Followed:
    """The state of a run as shown on its page."""

    system: System
    run_id: int
    cursor: int = 0
    status: str = ""
    seqs: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def look(self) -> bool:
        """Read new events over HTTP. Returns whether the web process answered."""
        while True:
            answer = self.system.get(f"/runs/{self.run_id}/events/?after={self.cursor}")
            if answer is None:
                return False
            for event in answer["events"]:
                self.seqs.append(event["seq"])
                self.cursor = event["seq"]
                if event["kind"] == "run":
                    self.status = event["payload"]["status"]
            if not answer["events"]:
                return True

    def is_finished(self) -> bool:
        """Return, after a moment, whether the run has finished. Any other lasting state ends the measurement."""
        time.sleep(0.2)
        self.look()
        if self.status == "finished":
            return True
        if self.status in STOPPED or time.monotonic() - self.began > RUN_LIMIT_SECONDS:
            from alignment_app.models import Run

            raise SystemExit(f"the run is {self.status or 'silent'}: {Run.objects.get(pk=self.run_id).status_reason}")
        return False

    def is_true(self) -> bool:
        """Return whether the state is served, equals the database, and names no dead process."""
        from alignment_app.models import Run, StageAttempt

        if not self.look() or self.status != Run.objects.values_list("status", flat=True).get(pk=self.run_id):
            return False
        pids = StageAttempt.objects.filter(outcome="open", stage__iteration__run=self.run_id)
        return all(is_alive(pid) for pid in pids.values_list("pid", flat=True))


@dataclass
class Kill:
    """One kill: seconds until the served state was correct, and until the work (or the server) was back."""

    stage: str
    untrue: float
    back: float
    clicks: int


def measure(system: System, config: dict[str, Any], options: argparse.Namespace) -> int:
    chance = random.Random(options.seed)
    began = time.monotonic()
    undisturbed = launch(config)
    page = Followed(system, undisturbed)
    while not page.is_finished():
        pass
    wanted = rows_of(undisturbed)
    print(f"undisturbed run: {time.monotonic() - began:.0f} s, rows {counts(wanted)}", flush=True)
    kills: list[Kill] = []
    differences: list[str] = []
    runs = 0
    while len(kills) < options.times:
        runs += 1
        run_id = launch(config)
        page = Followed(system, run_id)
        next_kill = time.monotonic() + chance.uniform(0.5, options.every)

        while not page.is_finished():
            if len(kills) < options.times and time.monotonic() >= next_kill:
                if options.during and working_on(run_id) not in options.during:
                    continue
                if kill := kill_once(system, page, options.target[len(kills) % len(options.target)]):
                    kills.append(kill)
                    print(f"  kill {len(kills)}: {kill}", flush=True)
                next_kill = time.monotonic() + chance.uniform(0.3, 2 * options.every)
        differences += [f"run {run_id}: {line}" for line in compare(wanted, rows_of(run_id))]
        if page.seqs != list(range(1, len(page.seqs) + 1)):
            differences.append(f"run {run_id}: the page's events have gaps or repeats")
    print(report(" and ".join(options.target), kills, runs, differences))
    return 0 if not differences and all(kill.untrue < TRUE_WITHIN_SECONDS for kill in kills) else 1


def launch(config: dict[str, Any]) -> int:
    from alignment_app.services import runs
    from training.config import RunConfig

    return runs.launch(RunConfig.parse(config)).pk


def working_on(run_id: int) -> str:
    """Return the kind of the running stage."""
    from alignment_app.models import Stage

    working = Stage.objects.filter(iteration__run=run_id, status="running").first()
    return str(working.kind) if working else "between stages"


def kill_once(system: System, page: Followed, target: str) -> Kill | None:
    """Kill the target, and wait until the served state is correct and work continues."""
    from alignment_app.models import StageAttempt

    pid = system.pid_of(target, page.run_id)
    attempts = StageAttempt.objects.filter(stage__iteration__run=page.run_id)
    if pid is None or not attempts.filter(outcome="open").exists():
        return None
    before, stage = attempts.count(), working_on(page.run_id)
    doomed = [pid]
    if target in ("worker", "up"):
        doomed += attempts.filter(outcome="open").values_list("pid", flat=True)
    try:
        os.kill(pid, signal.SIGSTOP if target == "stale" else signal.SIGKILL)
    except ProcessLookupError:
        return None
    at = time.monotonic()
    if target == "stale":
        return outlive_its_lease(page, pid, stage, at)
    wait_for(lambda: not any(map(is_alive, doomed)))
    if target == "up":
        assert system.process
        system.process.wait()
        children_end(system)
        system.start()
    wait_for(page.is_true)
    untrue = time.monotonic() - at
    clicks = resume_if_needed(page)

    def is_back() -> bool:
        page.look()
        if target in ("web", "valkey"):
            return system.pid_of(target, page.run_id) not in (None, pid) and page.look() and queue_answers()
        return attempts.count() > before or page.status == "finished"

    wait_for(is_back)
    return Kill(stage, round(untrue, 1), round(time.monotonic() - at, 1), clicks)


def outlive_its_lease(page: Followed, pid: int, stage: str, at: float) -> Kill:
    """Stop the job process ``pid`` until another attempt has taken over and saved a row, then continue it."""
    from alignment_app.models import StageAttempt

    attempts = StageAttempt.objects.filter(stage__iteration__run=page.run_id)
    stale = attempts.filter(pid=pid).latest("pk")
    wait_for(lambda: attempts.filter(pk=stale.pk, outcome="crashed").exists() and page.is_true())
    untrue = time.monotonic() - at
    wait_for(lambda: attempts.filter(pk__gt=stale.pk).exists())
    back = time.monotonic() - at
    written = attempts.values_list("rows_written", flat=True).get(pk=stale.pk)
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not is_alive(pid) or attempts.filter(pid=pid, outcome="open").exists())
    if attempts.values_list("rows_written", flat=True).get(pk=stale.pk) != written:
        raise SystemExit(f"the stale attempt {stale.pk} wrote after its lease had run out")
    return Kill(stage, round(untrue, 1), round(back, 1), 0)


def children_end(system: System) -> None:
    """Check that no child process outlives the killed supervisor."""
    marks = ("alignment_app.processes.web", "manage.py worker", "manage.py monitor", f"{system.home}/valkey.sock")
    time.sleep(1)
    for process in psutil.process_iter(["cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or [])
        home = (process.info["environ"] or {}).get("PLUMBLINE_HOME")
        if home == str(system.home) and any(mark in command for mark in marks):
            raise SystemExit(f"process {process.pid} outlived the supervisor: {command}")


def queue_answers() -> bool:
    from alignment_app.services import queues

    return queues.is_up()


def wait_for(condition: Callable[[], bool]) -> float:
    """Return the seconds until the condition holds, for at most two minutes."""
    began = time.monotonic()
    while not condition() and time.monotonic() - began < 2 * TRUE_WITHIN_SECONDS:
        time.sleep(0.1)
    return time.monotonic() - began


def resume_if_needed(page: Followed) -> int:
    """Resume the run if it does not continue by itself."""
    from alignment_app.models import Run
    from alignment_app.services import runs

    if page.status not in ("crashed", "failed", "paused"):
        return 0
    runs.resume(Run.objects.get(pk=page.run_id))
    page.look()
    return 1


def report(target: str, kills: list[Kill], runs: int, differences: list[str]) -> str:
    untrue, back = sorted(kill.untrue for kill in kills), sorted(kill.back for kill in kills)
    stages = sorted({kill.stage for kill in kills})
    clicks = sum(kill.clicks for kill in kills)
    lines = [
        f"{target}: struck {len(kills)} times in {runs} runs (during {', '.join(stages)})",
        f"state true again after: median {untrue[len(untrue) // 2]} s, longest {untrue[-1]} s",
        f"went on after: median {back[len(back) // 2]} s, longest {back[-1]} s, with {clicks} clicks",
        "rows equal to the undisturbed run's: none lost, none twice" if not differences else "ROWS DIFFER:",
    ]
    return "\n".join(lines + differences)


if __name__ == "__main__":
    sys.exit(main())
