"""Apply the checks of a prompt to a response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from training.domain.judging import HIGHEST_SCORE
from training.domain.rows import ComparisonOutcome
from training.domain.scores import comparable
from training.domain.verifiers.base import Outcome
from training.domain.verifiers.registry import VERIFIERS

#: Version of the verifiers, stored with their judgements: raise it if a kind decides differently.
VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check. ``points`` is its weight in the score."""

    kind: str
    passed: bool
    reason: str
    points: float = 1

    def as_data(self) -> dict[str, Any]:
        """Return JSON data."""
        return {"kind": self.kind, "passed": self.passed, "reason": self.reason, "points": self.points}


@dataclass(frozen=True, slots=True)
class Verification:
    """The results of all checks of a prompt, and the score: 5 × the points of passed checks / all points."""

    results: tuple[CheckResult, ...]

    @property
    def score(self) -> float:
        """The score on the run's scale, 0 to 5."""
        total = sum(result.points for result in self.results)
        return HIGHEST_SCORE * sum(result.points for result in self.results if result.passed) / total

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(result.passed for result in self.results)

    @property
    def text(self) -> str:
        """The reasons, one line per check."""
        return "\n".join(
            f"{'passed' if result.passed else 'failed'}: {VERIFIERS[result.kind].label}. {result.reason}"
            for result in self.results
        )


def verify(checks: Sequence[Mapping[str, Any]], prompt: str, response: str) -> Verification:
    """Apply valid checks (see :func:`training.domain.verifiers.registry.read_checks`), at least one.

    An empty response fails every check, as in IFEval: silence must not be the best answer to "use no comma".
    """
    results = []
    for check in checks:
        verifier = VERIFIERS[check["kind"]]
        arguments = (check, response, prompt) if verifier.needs_prompt else (check, response)
        outcome = verifier.check(*arguments) if response.strip() else Outcome(False, "Empty answer.")
        results.append(CheckResult(verifier.name, outcome.passed, outcome.reason, check.get("points", 1)))
    return Verification(tuple(results))


def decide(newer: Verification, older: Verification) -> ComparisonOutcome:
    """Return the outcome of the newer response against the older one, by score."""
    one, other = comparable(newer.score), comparable(older.score)
    return "tie" if one == other else "win" if one > other else "lose"
