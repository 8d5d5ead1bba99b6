"""Data sets of a few rows, for runs of the little student."""

from __future__ import annotations

from alignment_app.models import Dataset, Prompt, Response
from alignment_app.services.rows import content_hash


def make_datasets(*, train: int = 6, held_out: int = 3, seed: int = 8) -> dict[str, Dataset]:
    """Training prompts ("train"), held-out prompts ("held out") and prompt-response rows ("seed"), so many of each."""
    texts = {
        "train": [f"What is {number} plus one?" for number in range(train)],
        "held out": [f"What is {number} plus two?" for number in range(held_out)],
    }
    made = {}
    for name, prompts in texts.items():
        made[name] = Dataset.objects.create(name=name, kind=Dataset.Kind.PROMPTS)
        for position, text in enumerate(prompts):
            add_prompt(made[name], position, text)
    made["seed"] = Dataset.objects.create(name="seed", kind=Dataset.Kind.DEMONSTRATIONS)
    for position in range(seed):
        prompt = add_prompt(made["seed"], position, f"Say {position}.")
        Response.objects.create(prompt=prompt, source="imported", purpose="target", index=0, text=str(position))
    return made


def add_prompt(dataset: Dataset, position: int, text: str) -> Prompt:
    messages = [{"role": "user", "content": text}]
    return Prompt.objects.create(
        dataset=dataset, source="imported", messages=messages, text=text, position=position,
        content_hash=content_hash(messages),
    )  # fmt: skip
