"""Provider servers with scripted answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.engines import Serve
from tests.support.providers import Provider, Reply


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Provider] = []

    def start(answer: Callable[[str, int], Reply]) -> Provider:
        started.append(Provider(lambda text, number, _: answer(text, number)))
        return started[-1]

    yield start
    for one in started:
        one.close()
