"""Where tests may take helpers from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def imported(path: Path) -> Iterator[str]:
    """The modules of the tests that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: import by the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_helpers_come_from_support_and_no_test_module_imports_another() -> None:
    """Benchmarks are programs; a test may run or import one. Support imports support alone. What made a fixture ran on
    the helpers of its own version."""
    wrong = []
    for path in sorted(TESTS.rglob("*.py")):
        package = path.relative_to(TESTS).parts[0]
        if package == "fixtures":
            continue
        allowed = ("tests.support.",) if package == "support" else ("tests.support.", "tests.benchmarks")
        for name in imported(path):
            if name.partition(".")[0] == "tests" and not f"{name}.".startswith(allowed):
                wrong.append(f"{path.relative_to(TESTS)} imports {name}")
    assert wrong == []
