"""A student of a few thousand parameters, and data sets of a few rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.little_student import save_little_student

if TYPE_CHECKING:  # Django is set up only after this file is read
    from alignment_app.models import Dataset, Prompt


@pytest.fixture(scope="session")
def little_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model: what it writes is noise, and that is enough to see rows made."""
    return save_little_student(tmp_path_factory.mktemp("little-student"))


@pytest.fixture
def questions(db: None) -> dict[str, Dataset]:
    """Three small data sets: training prompts, held-out prompts, and prompt-response rows."""
    from alignment_app.models import Dataset, Response

    made = {}
    texts = {
        "train": [f"What is {n} plus one?" for n in range(6)],
        "held out": [f"What is {n} plus two?" for n in range(3)],
    }
    for name, prompts in texts.items():
        made[name] = Dataset.objects.create(name=name, kind=Dataset.Kind.PROMPTS)
        for position, text in enumerate(prompts):
            _prompt(made[name], position, text)
    made["seed"] = Dataset.objects.create(name="seed", kind=Dataset.Kind.DEMONSTRATIONS)
    for position in range(8):
        prompt = _prompt(made["seed"], position, f"Say {position}.")
        Response.objects.create(prompt=prompt, source="imported", purpose="target", index=0, text=str(position))
    return made


def _prompt(dataset: Dataset, position: int, text: str) -> Prompt:
    from alignment_app.models import Prompt
    from alignment_app.services.rows import content_hash

    messages = [{"role": "user", "content": text}]
    return Prompt.objects.create(
        dataset=dataset, source="imported", messages=messages, text=text, position=position,
        content_hash=content_hash(messages),
    )  # fmt: skip
