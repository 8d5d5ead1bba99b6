"""A model behind an OpenAI-compatible server that writes tasks, judges and answers: the same to the same request."""

from __future__ import annotations

import hashlib
import json
import random
import time
from itertools import pairwise
from typing import Any

from tests.support.providers import Provider, Reply, chat

WORDS = "river stone lamp bread cloud winter market garden letter teacher bridge copper window silver valley".split()
SEEDS = [f"Describe the {one} beside the {other}." for one, other in pairwise(WORDS)]
COLD = 0.1  # below this temperature it writes one task alone


def serve_writer(seconds: float = 0.0) -> Provider:
    """Start the server; each answer takes so many seconds."""

    def answer(text: str, number: int, body: dict[str, Any]) -> Reply:
        time.sleep(seconds)
        return chat(reply(text, body))

    return Provider(answer)


def reply(text: str, body: dict[str, Any]) -> str:
    """What the model says. It goes by the words, the seed and the temperature, not by where the model's files are."""
    asked = {name: body.get(name) for name in ("messages", "seed", "temperature", "max_tokens")}
    draw = random.Random(hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest())
    if "numbered list of tasks" in text:
        return " Name a tall tree in the north." if body["temperature"] < COLD else _tasks(draw)
    if "additive 5-point" in text:
        return f"Score: {draw.randrange(6)}" if draw.random() < 0.95 else "I would rather not say."
    return f"Answer {draw.randrange(99)}."


def _tasks(draw: random.Random) -> str:
    """A numbered list that goes on from an open number, some of it for every filter."""
    found = []
    for _ in range(2):
        words = draw.sample(WORDS, draw.randint(3, 6))
        found.append(
            draw.choice(
                [
                    f"Compare {' with '.join(words)}.",
                    f"Write of {words[0]} and {words[1]}, then of {words[2]}.",
                    f"Why \x00 {' '.join(words)}?",
                    "Go on.",
                    f"Draw the {words[0]} near the {words[1]}.",
                    f"Опишите {words[0]} и мост.",
                    "Name \ud83d a \ud83d\ude00 " + " ".join(words),
                    f"! Tell of {words[0]} and {words[1]}.",
                ]
            )
        )
    return " " + "\n".join(f"{number}. {text}" if number > 9 else text for number, text in enumerate(found, 9))
