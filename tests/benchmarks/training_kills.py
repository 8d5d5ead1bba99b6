"""A preference training killed with kill -9 at random moments and resumed: does it end like an undisturbed one?

    python -m tests.benchmarks.training_kills [--kills 10] [--seed 1] [--pairs 48] [--epochs 10] [--model FOLDER]

The training uses SR-DPO with dropout (so that random states matter), AdamW, a cosine schedule, and a checkpoint every
second step. It runs once undisturbed. Then runs are killed, up to four times each and ``--kills`` times in total, and
restarted after every kill until they end. The first kill happens while the model loads or the reference is computed.
Every third kill happens while a checkpoint is written: the process is stopped, and killed if the checkpoint is not
sealed yet. The others follow a random number of steps and a random fraction of a second. The losses of all steps and
the hash of the final weights are compared; exits 1 if any differ, or if fewer than two thirds of the kills were resumed
from a checkpoint. Each training runs in a separate process, forked from one that has imported the packages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POINTS, DONE = "points.jsonl", "done.json"
MOST_IN_ONE = 4
FORK = multiprocessing.get_context("fork")
Process = multiprocessing.context.ForkProcess


@dataclass
class Killed:
    """A disturbed training: where each kill happened, the step it was resumed from, and how it ended."""

    moments: list[str] = field(default_factory=list)
    resumed_from: list[int | None] = field(default_factory=list)
    same_losses: bool = False
    same_weights: bool = False

    def __str__(self) -> str:
        kills = (f"{at}, resumed from step {step}" for at, step in zip(self.moments, self.resumed_from, strict=True))
        return (
            f"killed {'; '.join(kills)}; losses {'equal' if self.same_losses else 'DIFFER'}, "
            f"weights {'equal' if self.same_weights else 'DIFFER'}"
        )


@dataclass
class Attempt:
    """One process: the step that it resumed from (or ``None``), and the steps it computed."""

    resumed_from: int | None = None
    points: list[tuple[int, float]] = field(default_factory=list)


def main() -> int:
    options = parse()
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    import training.trainers.preference  # noqa: F401  once, for all that are forked

    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        return prove(options, Path(folder))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--model", default="", help="folder of a checkpoint; default: a very small model")
    return parser.parse_args()


def prove(options: argparse.Namespace, folder: Path) -> int:
    """Run undisturbed, then disturbed until all kills are done; print the results."""
    if not options.model:
        from tests.support.students import save_little_student

        options.model = str(folder / "model")
        saving = FORK.Process(target=save_little_student, args=(folder / "model",), kwargs={"width": 48})
        saving.start()
        saving.join()
    undisturbed = folder / "undisturbed"
    finish(start(options, undisturbed), undisturbed)
    done = json.loads((undisturbed / DONE).read_text())
    losses, weights = outcome(undisturbed)
    steps = len(losses)
    print(
        f"undisturbed: {steps} steps in {done['seconds']:.0f} s, loss {losses[1]:.6f} to {losses[steps]:.6f}",
        flush=True,
    )
    draw = random.Random(options.seed)
    runs: list[Killed] = []
    for number in range(options.kills):
        if number % MOST_IN_ONE == 0:
            runs.append(Killed())
            where = folder / f"killed-{len(runs)}"
        run = runs[-1]
        process = start(options, where)
        if number == 0:
            moment = while_it_prepares(process, where, draw.uniform(0, done["first_step"]))
        elif number % 3 == 2:
            moment = while_it_saves(process, where, skip=draw.randint(0, steps // 20))
        else:
            pause = draw.uniform(0, (done["seconds"] - done["first_step"]) / steps)
            moment = after_steps(process, where, draw.randint(3, max(3, steps // 5)), pause)
        run.moments.append(moment)
        if len(run.moments) == MOST_IN_ONE or number == options.kills - 1:
            finish(start(options, where), where)
            found, hashed = outcome(where)
            run.resumed_from = [attempt.resumed_from for attempt in attempts(where)[1:]]
            run.same_losses, run.same_weights = found == losses, hashed == weights
            print(f"run {len(runs)}: {run}", flush=True)
    same = all(run.same_losses and run.same_weights for run in runs)
    resumed = sum(bool(step) for run in runs for step in run.resumed_from)
    print(
        f"{options.kills} kills, {resumed} of them resumed from a checkpoint: "
        f"{'every run ended as the undisturbed one' if same else 'NOT all the same'}"
    )
    return 0 if same and resumed >= options.kills * 2 / 3 else 1


def start(options: argparse.Namespace, folder: Path) -> Process:
    """Start or resume the training. Returns when it begins."""
    folder.mkdir(parents=True, exist_ok=True)
    before = len(attempts(folder))
    process = FORK.Process(target=train, args=(options.model, folder, options.pairs, options.epochs))
    process.start()
    while len(attempts(folder)) == before:
        going_on(process, folder)
        time.sleep(0.01)
    return process


def finish(process: Process, folder: Path) -> None:
    process.join()
    if process.exitcode:
        raise SystemExit(f"the training ended with an error:\n{(folder / 'output.txt').read_text()[-3000:]}")


def going_on(process: Process, folder: Path) -> None:
    if process.exitcode is not None:
        finish(process, folder)
        raise SystemExit("the training ended before it was killed: give it more --epochs")


def while_it_prepares(process: Process, folder: Path, seconds: float) -> str:
    """Kill a time after the start. Returns where it happened."""
    time.sleep(seconds)
    return slay(process, folder)


def after_steps(process: Process, folder: Path, count: int, pause: float) -> str:
    """Kill after a number of steps of this process plus some seconds. Returns where it happened."""
    wait_for_steps(process, folder, count)
    time.sleep(pause)
    return slay(process, folder)


def wait_for_steps(process: Process, folder: Path, count: int) -> None:
    while len(attempts(folder)[-1].points) < count:
        going_on(process, folder)
        time.sleep(0.005)


def while_it_saves(process: Process, folder: Path, skip: int) -> str:
    """Kill while a checkpoint is written, after a number of others. Returns where it happened."""
    wait_for_steps(process, folder, 1)  # by then, files left partial by an earlier kill are removed
    seen = {path.name for path in folder.glob("resume/checkpoint-*") if is_sealed(path)}
    while True:
        going_on(process, folder)
        new = [path for path in folder.glob("resume/checkpoint-*") if path.name not in seen]
        for path in sorted(new, key=lambda path: int(path.name.split("-")[1]))[-1:]:
            if skip or is_sealed(path):
                seen.add(path.name)
                skip = max(0, skip - 1)
                continue
            os.kill(process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            if not is_sealed(path):
                slay(process, folder)
                return f"while {path.name} was written"
            os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.0005)


def is_sealed(checkpoint: Path) -> bool:
    return (checkpoint / "plumbline_checkpoint.json").exists()


def slay(process: Process, folder: Path) -> str:
    going_on(process, folder)
    process.kill()
    process.join()
    points = attempts(folder)[-1].points
    return f"after step {points[-1][0]}" if points else "before a step"


def outcome(folder: Path) -> tuple[dict[int, float], str]:
    """Return the loss of every step, and the hash of the final weights."""
    weights = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    return read_points(folder), weights


def read_points(folder: Path) -> dict[int, float]:
    """Return losses by step; a step repeated after a kill has its last loss."""
    return {step: loss for attempt in attempts(folder) for step, loss in attempt.points}


def attempts(folder: Path) -> list[Attempt]:
    """Return the log of each process."""
    found: list[Attempt] = []
    path = folder / POINTS
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            told = json.loads(line)
        except ValueError:  # a line that is being written or was truncated by the kill
            continue
        if "began" in told:
            found.append(Attempt())
        elif "resumed_from" in told:
            found[-1].resumed_from = told["resumed_from"]
        else:
            found[-1].points.append((told["step"], told["loss"]))
    return found


def pairs_of(count: int) -> list[dict[str, Any]]:
    """Generate preference pairs of many lengths."""
    draw = random.Random(7)

    def words(low: int, high: int) -> str:
        return " ".join(draw.choice(("plumb", "line", "true", "wall", "stone")) for _ in range(draw.randint(low, high)))

    return [
        {
            "prompt": [{"role": "user", "content": f"Question {number}: {words(3, 30)}?"}],
            "chosen": [{"role": "assistant", "content": words(2, 20)}],
            "rejected": [{"role": "assistant", "content": f"no {words(1, 20)}"}],
            "pair_id": number,
        }
        for number in range(count)
    ]  # fmt: skip


def train(model: str, folder: Path, count: int, epochs: float) -> None:
    """Train in a separate process, logging every step as it is computed."""
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from training.config import PreferenceConfig
    from training.trainers.preference import train_preference

    config = PreferenceConfig(
        loss="sr_dpo", learning_rate=3e-3, final_learning_rate=3e-4, batch_size=8, micro_batch_size=4, epochs=epochs,
        save_steps=2, dropout=0.1,
    )  # fmt: skip
    began, first_step = time.monotonic(), 0.0
    last, steps_begun = 0, False
    with (folder / POINTS).open("a") as stream:

        def write(**line: Any) -> None:
            stream.write("\n" + json.dumps(line) + "\n")
            stream.flush()

        def report(point: dict[str, Any]) -> None:
            nonlocal last
            last = int(point["step"])
            if steps_begun:  # a resumed training first reports the steps of its checkpoint
                write(step=last, loss=point["loss"])

        def after_a_step() -> bool:
            nonlocal first_step, steps_begun
            if not steps_begun:
                write(resumed_from=last)
                first_step, steps_begun = time.monotonic() - began, True
            return False

        write(began=os.getpid())
        result = train_preference(
            pairs_of(count), model=model, reference=model, output_dir=folder, config=config, seed=5, report=report,
            should_stop=after_a_step, max_length=512, store=folder / "reference-logps",
        )  # fmt: skip
    assert result.resumed_from == attempts(folder)[-1].resumed_from
    done = {"first_step": first_step, "seconds": time.monotonic() - began}
    (folder / DONE).write_text(json.dumps(done))


if __name__ == "__main__":
    sys.exit(main())
