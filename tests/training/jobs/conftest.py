"""A student with a few thousand parameters, and data sets with a few rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.students import save_little_student

if TYPE_CHECKING:  # Django is set up after this file is imported
    from alignment_app.models import Dataset


@pytest.fixture(scope="session")
def little_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model. It generates noise, which is enough to test that rows are made."""
    return save_little_student(tmp_path_factory.mktemp("little-student"))


@pytest.fixture
def questions(db: None) -> dict[str, Dataset]:
    """Three small data sets: training prompts, held-out prompts, and prompt-response rows."""
    from tests.support.datasets import make_datasets

    return make_datasets()
