"""A training killed with kill -9 and restarted ends with the losses and weights of an undisturbed one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_a_killed_training_ends_with_the_losses_and_weights_of_an_undisturbed_one() -> None:
    """Three kills: before a step, after some, while a checkpoint is written; ``make bench-training-kills`` does ten."""
    command = [sys.executable, "-m", "tests.benchmarks.training_kills", "--kills=3", "--pairs=24", "--epochs=6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills, 2 of them resumed from a checkpoint: every run ended as the undisturbed one" in done.stdout
    assert re.search(r"while checkpoint-\d+ was written, resumed from step [1-9]", done.stdout)
