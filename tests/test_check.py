"""Which tests ``make test-fast`` runs for a change."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def check() -> Any:
    spec = importlib.util.spec_from_file_location("check", ROOT / ".ci" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["check"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("labeling/services/leases.py", {"tests/labeling"}),
        ("training/domain/pairing.py", {"tests/training/domain"}),
        ("training/stages/pairs.py", {"tests/training/stages"}),
        ("alignment_app/processes/lock.py", {"tests/processes"}),
        ("alignment_app/models/runs.py", {"tests/alignment_app", "tests/bad_input"}),
        ("tests/training/jobs/test_loop.py", {"tests/training/jobs/test_loop.py"}),
        ("tests/labeling/conftest.py", {"tests/labeling"}),
        ("docs/training.md", set()),
    ],
)
def test_a_changed_file_has_the_tests_of_its_package(check: Any, changed: str, tests: set[str]) -> None:
    assert set(check.tests_of(changed)) == tests


def test_packages_are_named_by_path_or_by_module(check: Any) -> None:
    assert check.fast_tests(["labeling", "training.domain"]) == [
        "tests/labeling", "tests/test_support.py", "tests/training/domain",
    ]  # fmt: skip
    assert check.fast_tests(["training", "training/domain"]) == ["tests/test_support.py", "tests/training"]


def test_every_package_with_code_has_tests(check: Any) -> None:
    for package in ("alignment_app", "labeling", "training"):
        for folder in [ROOT / package, *(path for path in (ROOT / package).iterdir() if path.is_dir())]:
            path = str(folder.relative_to(ROOT))
            found = [test for pattern in check.tests_of(path) for test in ROOT.glob(pattern)]
            assert found or folder.name == "__pycache__", path
