"""A preference training killed with kill -9 at random moments and resumed: does it end as an undisturbed one?

    python -m tests.benchmarks.training_kills [--kills 10] [--seed 1] [--pairs 48] [--epochs 10] [--model FOLDER]

Sr-DPO with dropout, so that random states matter, AdamW, a cosine schedule, and a checkpoint after every second step.
It runs once undisturbed. Then runs are killed until so many kills have fallen, at most four in one run. Each moment is
drawn over the time that the undisturbed training took, from the model's folder to the saved model: while it loads, in
the reference's pass, at a step, while it saves; every third kill waits for a checkpoint that is being written. Each
killed run is started again until it ends. Compared are the losses of all steps and the hash of the final weights; exits
1 where any differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
POINTS, BEGUN, DONE = "points.jsonl", "begun", "done.json"
MOST_IN_ONE = 4


@dataclass
class Killed:
    """One training that was disturbed: where each kill fell, and what came of it."""

    moments: list[str] = field(default_factory=list)
    resumed_from: int = 0
    same_losses: bool = False
    same_weights: bool = False


def main() -> int:
    options = parse()
    if options.child:
        return train(options.model, options.child, options.pairs, options.epochs)
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        return prove(options, Path(folder))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--model", default="", help="folder of a checkpoint; a very small one is made otherwise")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def prove(options: argparse.Namespace, folder: Path) -> int:
    """Run undisturbed, then disturbed until all kills have fallen; print what came of it."""
    if not options.model:
        from tests.little_student import save_little_student

        options.model = str(save_little_student(folder / "model", width=48))
    undisturbed = folder / "undisturbed"
    finish(start(options, undisturbed), undisturbed)
    seconds = json.loads((undisturbed / DONE).read_text())["seconds"]
    losses, weights = outcome(undisturbed)
    print(f"undisturbed: {len(losses)} steps in {seconds:.0f} s, loss {losses[1]:.6f} to {losses[len(losses)]:.6f}")
    draw = random.Random(options.seed)
    runs: list[Killed] = []
    kills = 0
    while kills < options.kills:
        run, where = Killed(), folder / f"killed-{len(runs)}"
        while kills < options.kills and len(run.moments) < MOST_IN_ONE:
            at_checkpoint = kills % 3 == 2
            process = start(options, where)
            said = kill(process, where, None if at_checkpoint else draw.uniform(0, seconds))
            if not said:
                break  # it ended first: that run is over
            run.moments.append(said)
            kills += 1
        if not (where / DONE).exists():
            finish(start(options, where), where)
        if not run.moments:
            continue
        found, hashed = outcome(where)
        run.resumed_from = json.loads((where / DONE).read_text())["resumed_from"]
        run.same_losses, run.same_weights = found == losses, hashed == weights
        runs.append(run)
        print(f"run {len(runs)}: killed {'; '.join(run.moments)}; last resumed from step {run.resumed_from}; "
              f"losses {'equal' if run.same_losses else 'DIFFER'}, weights {'equal' if run.same_weights else 'DIFFER'}",
              flush=True)  # fmt: skip
    same = all(run.same_losses and run.same_weights for run in runs)
    print(f"{kills} kills in {len(runs)} runs: {'all ended as the undisturbed one' if same else 'NOT all the same'}")
    return 0 if same else 1


def start(options: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.benchmarks.training_kills", f"--child={folder}", f"--model={options.model}"]
    command += [f"--pairs={options.pairs}", f"--epochs={options.epochs}"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BEGUN).unlink(missing_ok=True)
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    if process.wait():
        raise SystemExit(f"the training ended with an error:\n{(folder / 'output.txt').read_text()[-3000:]}")


def kill(process: subprocess.Popen[bytes], folder: Path, after: float | None) -> str:
    """Kill after so many seconds, or (``None``) while a checkpoint is written; where it fell, or "" had it ended."""
    while process.poll() is None and not (folder / BEGUN).exists():  # packages are being imported
        time.sleep(0.01)
    began = time.monotonic()
    there = set(folder.glob("resume/checkpoint-*"))
    while process.poll() is None:
        if after is not None and time.monotonic() - began >= after:
            break
        if after is None and (half_written := _half_written(folder, there)):
            process.send_signal(signal.SIGKILL)
            process.wait()
            return f"while {half_written} was written" + ("" if _unsealed(folder, half_written) else " (just sealed)")
        time.sleep(0.0005 if after is None else 0.02)
    if process.poll() is not None:
        finish(process, folder)
        return ""
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps = read_points(folder)
    return f"after step {max(steps)}" if steps else "before the first step"


def _half_written(folder: Path, before: set[Path]) -> str:
    new = (path.name for path in folder.glob("resume/checkpoint-*") if path not in before)
    return next((name for name in new if _unsealed(folder, name)), "")


def _unsealed(folder: Path, name: str) -> bool:
    return not (folder / "resume" / name / "plumbline_checkpoint.json").exists()


def outcome(folder: Path) -> tuple[dict[int, float], str]:
    """The loss of every step, and the hash of the final weights."""
    weights = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    return read_points(folder), weights


def read_points(folder: Path) -> dict[int, float]:
    """Step and loss as reported; a step that was computed again after a kill stands with its last loss."""
    path = folder / POINTS
    points: dict[int, float] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            point = json.loads(line)
        except ValueError:  # the kill fell in the middle of the line
            continue
        points[int(point["step"])] = point["loss"]
    return points


def pairs_of(count: int) -> list[dict[str, Any]]:
    """Preference pairs of many lengths, made up."""
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


def train(model: str, folder: Path, count: int, epochs: float) -> int:
    """The training itself, every point written down as it comes."""
    from training.config import PreferenceConfig
    from training.trainers.preference import train_preference

    config = PreferenceConfig(
        loss="sr_dpo", learning_rate=3e-3, final_learning_rate=3e-4, batch_size=8, micro_batch_size=4, epochs=epochs,
        save_steps=2, dropout=0.1,
    )  # fmt: skip
    (folder / BEGUN).touch()
    began = time.monotonic()
    with (folder / POINTS).open("a") as stream:

        def report(point: dict[str, Any]) -> None:
            stream.write("\n" + json.dumps({"step": point["step"], "loss": point["loss"]}) + "\n")
            stream.flush()

        result = train_preference(
            pairs_of(count), model=model, reference=model, output_dir=folder, config=config, seed=5, report=report,
            should_stop=lambda: False, max_length=512, store=folder / "reference-logps",
        )  # fmt: skip
    (folder / DONE).write_text(json.dumps({"resumed_from": result.resumed_from, "seconds": time.monotonic() - began}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
