"""What the science's tests share: a very small student, and no deadline for a busy machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.students import save_little_student

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def little_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of a few thousand parameters with a tokenizer and a chat template."""
    return save_little_student(tmp_path_factory.mktemp("little"))
