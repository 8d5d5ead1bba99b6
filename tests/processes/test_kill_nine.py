"""A process at work that is killed, or that comes back after its lease: the run ends with the rows of a quiet one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("target", ["horse", "stale"])
def test_a_disturbed_run_ends_with_the_rows_and_weights_of_an_undisturbed_one(target: str) -> None:
    kept = {key: value for key, value in os.environ.items() if key not in ("PLUMBLINE_HOME", "DATABASE_URL")}
    command = [sys.executable, "-m", "tests.benchmarks.kill_nine", "--small", "--times=1", "--every=3"]
    done = subprocess.run(
        [*command, f"--target={target}"],
        cwd=ROOT, env=kept | {"LEASE_SECONDS": "6"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none lost, none twice" in done.stdout
