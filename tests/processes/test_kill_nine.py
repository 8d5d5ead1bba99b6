"""A job process that is killed, or returns after its lease expired: the run ends with the same rows as without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_a_run_whose_process_was_killed_or_came_back_stale_ends_with_the_rows_of_a_quiet_one() -> None:
    kept = {key: value for key, value in os.environ.items() if key not in ("PLUMBLINE_HOME", "DATABASE_URL")}
    command = [sys.executable, "-m", "tests.benchmarks.kill_nine", "--small", "--times=2", "--every=3"]
    done = subprocess.run(
        [*command, "--target", "job", "stale"],
        cwd=ROOT, env=kept | {"LEASE_SECONDS": "6"}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "struck 2 times" in done.stdout
    assert "none lost, none twice" in done.stdout
