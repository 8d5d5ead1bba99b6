"""Connect a remote model to the run's account: every answer is stored at once and never paid for twice."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from typing import cast

from alignment_app.services.spending import AccountLine, request_hash
from training.domain.rows import FinishReason
from training.domain.spending import Usage
from training.engines.base import Completion, Inflow, Request, Sampling
from training.engines.metering import Call
from training.engines.remote import RemoteEngine


class PaidEngine:
    """A :class:`training.engines.base.Engine` that counts and stores a remote model's answers."""

    def __init__(self, engine: RemoteEngine, account: AccountLine) -> None:
        self.name = engine.name
        self.engine, self.account = engine, account
        self._digests: dict[tuple[str, int], str] = {}
        self._open: Generator[Completion, None, None] | None = None

    @property
    def in_flight(self) -> int:
        """Number of requests that the provider has not answered yet."""
        return self.engine.in_flight

    @property
    def on_idle(self) -> Callable[[], None]:
        """See :class:`training.engines.base.ReportsIdle`."""
        return self.engine.on_idle

    @on_idle.setter
    def on_idle(self, callback: Callable[[], None]) -> None:
        self.engine.on_idle = callback

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield the stored answers to these requests, then the provider's new ones."""
        return self._drawn(lambda: self.engine.generate(requests, sampling))

    def follow(self, inflow: Inflow, sampling: Sampling) -> Iterator[Completion]:
        """Like :meth:`generate`, for requests that arrive over time."""
        return self._drawn(lambda: self.engine.follow(inflow, sampling))

    def _drawn(self, begin: Callable[[], Iterator[Completion]]) -> Iterator[Completion]:
        self._digests = {}
        self.engine.meter = self
        self._open = cast("Generator[Completion, None, None]", begin())
        try:
            yield from self._open
        finally:
            self.stop()

    def stop(self) -> None:
        """End the requests in flight and save the account. May be called more than once."""
        if self._open is not None:
            running, self._open = self._open, None
            running.close()
            self.engine.meter = None
        self.account.save()

    def close(self) -> None:
        """Do nothing: the pool closes the wrapped engine."""

    def known(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """See :class:`training.engines.metering.Meter`."""
        settings = asdict(sampling)
        digests = {
            (request.key, request.seed): request_hash(
                self.account.model, self.engine.messages(request), request.seed, settings
            )
            for request in requests
        }
        self._digests |= digests
        kept = self.account.kept(list(digests.values()))
        return [
            Completion(key, call.text, call.token_count, cast(FinishReason, call.finish_reason), seed)
            for (key, seed), digest in digests.items()
            if (call := kept.get(digest))
        ]

    def reserve(self, request: Request, worst: Usage) -> bool:
        """See :class:`training.engines.metering.Meter`."""
        return self.account.reserve(worst)

    def finalize(self, call: Call, worst: Usage) -> None:
        """See :class:`training.engines.metering.Meter`."""
        done = call.completion
        self.account.finalize(
            call.outcome,
            call.usage,
            worst,
            digest=self._digests[call.request.key, call.request.seed],
            seed=call.request.seed,
            text=done.text if done else "",
            token_count=done.token_count if done else 0,
            finish_reason=done.finish_reason if done else "",
        )

    def spent_reason(self) -> str:
        """See :class:`training.engines.metering.Meter`."""
        return self.account.spent_reason()
