"""What goes through an engine while a stage draws from it: tokens a second, requests in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

from alignment_app.services.progress import Progress
from training.engines.base import Completion, Engine, FollowingEngine, Inflow, Request, Sampling, TellsOfSilence

WINDOW_SECONDS = 10.0


class WatchedEngine:
    """An engine whose completions are counted for the run's page on their way to the stage."""

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self.name, self.engine = engine.name, engine
        self._tokens = 0
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        progress.live = self.figures
        if isinstance(engine, TellsOfSilence):
            engine.before_silence = progress.before_silence

    @property
    def in_flight(self) -> int:
        """Requests that the engine is working on."""
        return self.engine.in_flight

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """The engine's completions, counted."""
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
        """Tokens a second over the last ten seconds, and requests in flight."""
        now = time.monotonic()
        self._seen.append((now, self._tokens))
        while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW_SECONDS:
            self._seen.popleft()
        began, before = self._seen[0]
        speed = (self._tokens - before) / (now - began) if now - began > 0.2 else 0.0
        return {"tokens_per_second": round(speed, 1), "in_flight": self.in_flight}

    def close(self) -> None:
        """Whoever made the engine closes it."""


class WatchedFollower(WatchedEngine):
    """A watched engine that begins before all its requests are known."""

    def __init__(self, engine: FollowingEngine, progress: Progress) -> None:
        super().__init__(engine, progress)
        self._follower = engine

    def follow(self, inflow: Inflow, sampling: Sampling) -> Iterator[Completion]:
        """The engine's completions, counted."""
        return self._counted(self._follower.follow(inflow, sampling))
