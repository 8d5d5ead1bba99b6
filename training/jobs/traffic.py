"""Measure the throughput of an engine while a stage uses it: tokens per second, requests in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

from alignment_app.services.progress import Progress
from training.engines.base import Completion, Engine, FollowingEngine, Inflow, ReportsIdle, Request, Sampling

WINDOW_SECONDS = 10.0


class WatchedEngine:
    """Wrap an engine and count its tokens, for the throughput on the run page."""

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self.name, self.engine = engine.name, engine
        self._tokens = 0
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        progress.live = self.figures
        if isinstance(engine, ReportsIdle):
            engine.on_idle = progress.on_idle

    @property
    def in_flight(self) -> int:
        """Number of requests that the engine is processing."""
        return self.engine.in_flight

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield the engine's completions and count their tokens."""
        return self._counted(self.engine.generate(requests, sampling))

    def _counted(self, stream: Iterator[Completion]) -> Iterator[Completion]:
        try:
            for completion in stream:
                self._tokens += completion.token_count
                yield completion
        finally:
            if close := getattr(stream, "close", None):
                close()

    def figures(self) -> dict[str, float | int]:
        """Return tokens per second, over the last ten seconds, and the number of requests in flight."""
        now = time.monotonic()
        self._samples.append((now, self._tokens))
        while len(self._samples) > 2 and now - self._samples[1][0] > WINDOW_SECONDS:
            self._samples.popleft()
        began, before = self._samples[0]
        speed = (self._tokens - before) / (now - began) if now - began > 0.2 else 0.0
        return {"tokens_per_second": round(speed, 1), "in_flight": self.in_flight}

    def close(self) -> None:
        """Do nothing: the engine belongs to the pool, which closes it."""


class WatchedFollowingEngine(WatchedEngine):
    """A :class:`WatchedEngine` that accepts requests over time."""

    def __init__(self, engine: FollowingEngine, progress: Progress) -> None:
        super().__init__(engine, progress)
        self._follower = engine

    def follow(self, inflow: Inflow, sampling: Sampling) -> Iterator[Completion]:
        """Yield the engine's completions and count their tokens."""
        return self._counted(self._follower.follow(inflow, sampling))
