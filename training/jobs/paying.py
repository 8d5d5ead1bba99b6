"""Joins a remote teacher to the run's account: keeps each answer at once, and pays for none twice."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from typing import cast

from alignment_app.services.spending import Account, request_hash
from training.domain.rows import FinishReason
from training.domain.spending import Usage
from training.engines.base import Completion, Inflow, Request, Sampling
from training.engines.metering import Call
from training.engines.remote import RemoteEngine


class PaidEngine:
    """A remote teacher whose answers are counted and kept. An engine as any other."""

    def __init__(self, engine: RemoteEngine, account: Account) -> None:
        self.name = engine.name
        self.engine, self.account = engine, account
        self._digests: dict[tuple[str, int], str] = {}
        self._open: Generator[Completion, None, None] | None = None

    @property
    def in_flight(self) -> int:
        """Requests that the provider has been sent and has not answered."""
        return self.engine.in_flight

    @property
    def before_silence(self) -> Callable[[], None]:
        """See :class:`training.engines.base.TellsOfSilence`."""
        return self.engine.before_silence

    @before_silence.setter
    def before_silence(self, told: Callable[[], None]) -> None:
        self.engine.before_silence = told

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield what the run was given already for one of its requests, then what the provider answers now."""
        return self._drawn(lambda: self.engine.generate(requests, sampling))

    def follow(self, inflow: Inflow, sampling: Sampling) -> Iterator[Completion]:
        """The same of requests that become known by and by."""
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
        """End what is in flight and save its account. Called more than once without harm."""
        if self._open is not None:
            running, self._open = self._open, None
            running.close()
            self.engine.meter = None
        self.account.save()

    def close(self) -> None:
        """The pool closes the engine itself."""

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

    def settle(self, call: Call, worst: Usage) -> None:
        """See :class:`training.engines.metering.Meter`."""
        done = call.completion
        self.account.settle(
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
