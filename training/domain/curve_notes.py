"""Notes on the training curves: one for each known pattern that is detected.

Patterns are detected on means over fifths of the steps so far, after at least :data:`FEWEST_STEPS` steps; only the
checks of the first steps need fewer. ``docs/training.md`` says what to do about each note, by its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from training.domain.loss_specs import LOSSES, loss_label

Series = Sequence[tuple[float, float]]
"""(step, value), ordered by step."""

FEWEST_STEPS = 20
START_TOLERANCE = 0.02  #: relative to the loss of a policy that equals its reference
FLAT = 0.01  #: change relative to the starting loss, after half of the steps
REWARD_MOVED = 0.05  #: β·nats
ACCURACY_ROSE = 0.05
MARGIN_LARGE = 5.0  #: β·h at which the sigmoid loss is below 0.007
LOSS_GONE = 0.05
OVERSHOOT = 2.0  #: factor over the β·h that minimizes the loss
EARLY_STEPS = 10
ALL_RIGHT = 0.98
COIN = 0.05  #: distance from one half
MARGIN_MOVED = 0.1
ALWAYS = 0.95  #: share of the steps
JUMP = 0.2  #: mean change from step to step, as a share of the mean loss
APART = 0.15  #: difference of two accuracies
BY_HEART = 0.1  #: nats per token
ROSE = 1.1


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings of the training that the curves belong to.

    ``steps`` is the planned number of steps; ``fine_tuning`` is true for a cross-entropy loss on tokens.
    """

    loss: str = "dpo"
    beta: float = 0.1
    max_grad_norm: float = 1.0
    dropout: float = 0.0
    starts_at_reference: bool = True
    steps: int | None = None
    fine_tuning: bool = False

    @property
    def starting_loss(self) -> float | None:
        """The loss of a policy that equals its reference; ``None`` if unknown."""
        spec = LOSSES.get(self.loss)
        return spec.starting_loss(self.beta) if spec and spec.starting_loss else None

    @property
    def best_margin(self) -> float | None:
        """The margin β·h that minimizes the loss; ``None`` if there is no minimum."""
        spec = LOSSES.get(self.loss)
        return spec.best_margin if spec else None


@dataclass(frozen=True, slots=True)
class CurveNote:
    """A detected pattern. ``key`` names it and its row in the documentation; ``title`` and ``text`` are displayed."""

    key: str
    title: str
    text: str


def curve_notes(series: Mapping[str, Series], setting: TrainingSettings) -> list[CurveNote]:
    """Return the notes that apply to these curves, which are named as in :data:`training.trainers.results.Report`."""
    curves = _Curves({name: [value for _, value in line] for name, line in series.items()}, setting)
    rules = _FINE_TUNING if setting.fine_tuning else _PREFERENCES
    return [note for rule in rules for note in rule(curves)]


class _Curves:
    def __init__(self, values: Mapping[str, Sequence[float]], setting: TrainingSettings) -> None:
        self.values, self.setting = values, setting

    def fifth(self, name: str, place: int, of: Callable[[Sequence[float]], float] = fmean) -> float | None:
        """Return the mean (or ``of``) over one fifth of the steps so far, -1 for the last; ``None`` if too few."""
        values = self.values.get(name, ())
        if len(values) < FEWEST_STEPS:
            return None
        width = len(values) // 5
        return of(values[-width:] if place == -1 else values[place * width : (place + 1) * width])

    def ends(self, name: str, of: Callable[[Sequence[float]], float] = fmean) -> tuple[float, float] | None:
        """Return the values of the first and the last fifth of a curve."""
        first, last = self.fifth(name, 0, of), self.fifth(name, -1, of)
        return None if first is None or last is None else (first, last)


def _without_ties(accuracies: Sequence[float]) -> float:
    return fmean(accuracies[1:] if accuracies[0] == 0 else accuracies)


def _starts_elsewhere(curves: _Curves) -> Iterator[CurveNote]:
    setting, losses = curves.setting, curves.values.get("loss", ())
    expected = setting.starting_loss
    if not losses or expected is None or not setting.starts_at_reference or setting.dropout:
        return
    if abs(losses[0] - expected) > START_TOLERANCE * expected:
        yield CurveNote(
            "starts-elsewhere",
            "Unexpected loss at the first step",
            f"A policy that equals its reference has a loss of {expected:.3g}; the first step had {losses[0]:.3g}.",
        )


def _stays(curves: _Curves) -> Iterator[CurveNote]:
    setting, last, expected = curves.setting, curves.fifth("loss", -1), curves.setting.starting_loss
    if last is None or expected is None:
        return
    if setting.steps and len(curves.values["loss"]) < setting.steps / 2:
        return
    if abs(last - expected) < FLAT * expected:
        yield CurveNote(
            "loss-stays",
            f"The loss stays at {expected:.2g}",
            f"It started at {expected:.4g} and is {last:.4g} now: the policy has not learned from the pairs yet.",
        )


def _chosen_falls(curves: _Curves) -> Iterator[CurveNote]:
    # Medians are robust to a single outlier. Step 1 is left out: all pairs are ties there and the accuracy is 0.
    chosen_ends, accuracy_ends = curves.ends("chosen_reward", median), curves.ends("accuracy", _without_ties)
    if chosen_ends is None or accuracy_ends is None:
        return
    (chosen_before, chosen), (accuracy_before, accuracy) = chosen_ends, accuracy_ends
    fell = chosen < chosen_before - REWARD_MOVED and chosen < -REWARD_MOVED
    if fell and accuracy > max(accuracy_before, 0.5) + ACCURACY_ROSE:
        yield CurveNote(
            "chosen-falls",
            "The chosen reward falls while accuracy rises",
            f"Reward from {chosen_before:.2f} to {chosen:.2f}, accuracy from {accuracy_before:.0%} to {accuracy:.0%}: "
            "the chosen responses become less likely too, but more slowly than the rejected ones.",
        )


def _margin_explodes(curves: _Curves) -> Iterator[CurveNote]:
    loss, before, margin = curves.fifth("loss", -1), curves.fifth("margin", 3), curves.fifth("margin", -1)
    if loss is None or margin is None or before is None:
        return
    best = curves.setting.best_margin
    if best is not None:
        if margin > OVERSHOOT * best:
            yield CurveNote(
                "margin-explodes",
                f"The margin is far above the target of {loss_label(curves.setting.loss)}",
                f"It is {margin:.2f}; the loss has its minimum at {best:g}.",
            )
    elif margin > MARGIN_LARGE and margin > before and loss < LOSS_GONE:
        yield CurveNote(
            "margin-explodes",
            "The margin keeps growing and the loss is near 0",
            f"Margin {margin:.1f}, loss {loss:.2g}: the model has memorized the pairs.",
        )


def _right_at_once(curves: _Curves) -> Iterator[CurveNote]:
    early = curves.values.get("accuracy", ())[1:EARLY_STEPS]  # at step 1 all pairs are ties
    if len(early) == EARLY_STEPS - 1 and fmean(early) >= ALL_RIGHT:
        yield CurveNote(
            "accuracy-at-once",
            "Accuracy is near 1 from the start",
            f"{fmean(early):.0%} over steps 2 to {EARLY_STEPS}: a trivial feature may separate chosen from rejected.",
        )


def _coin(curves: _Curves) -> Iterator[CurveNote]:
    accuracy, margin = curves.fifth("accuracy", -1), curves.values.get("margin", ())
    if accuracy is None or abs(accuracy - 0.5) > COIN:
        return
    size = fmean([abs(value) for value in margin[-(len(margin) // 5) :]]) if len(margin) >= FEWEST_STEPS else 0.0
    if size > MARGIN_MOVED:
        yield CurveNote(
            "accuracy-half",
            "Accuracy stays at one half while the margin changes",
            f"{accuracy:.0%} of the pairs are ordered correctly; the mean absolute margin is {size:.2f}.",
        )


def _gradient_limit(curves: _Curves) -> Iterator[CurveNote]:
    limit, norms = curves.setting.max_grad_norm, curves.values.get("grad_norm", ())
    if not limit or len(norms) < FEWEST_STEPS:
        return
    share = fmean([norm > limit for norm in norms])
    if share >= ALWAYS:
        yield CurveNote(
            "gradient-limit",
            "The gradient is clipped at almost every step",
            f"Its norm is above max_grad_norm ({limit:g}) at {share:.0%} of the steps; the mean is {fmean(norms):.3g}.",
        )


def _jumps(curves: _Curves) -> Iterator[CurveNote]:
    losses, ends = curves.values.get("loss", ()), curves.ends("loss")
    if ends is None:
        return
    change = fmean([abs(after - before) for before, after in pairwise(losses)])
    if change > JUMP * abs(fmean(losses)) and change > 2 * abs(ends[0] - ends[1]):
        yield CurveNote(
            "loss-jumps",
            "The loss is unstable",
            f"It changes by {change:.2g} per step on average, more than its total change since the start.",
        )


def _apart(curves: _Curves) -> Iterator[CurveNote]:
    plain, augmented = curves.fifth("accuracy", -1), curves.fifth("augmented_accuracy", -1)
    if plain is not None and augmented is not None and abs(plain - augmented) > APART:
        yield CurveNote(
            "augmented-apart",
            "Accuracy differs on the augmented prompts",
            f"{augmented:.0%} there, {plain:.0%} on the plain prompts. Self-refined losses assume similar values.",
        )


def _by_heart(curves: _Curves) -> Iterator[CurveNote]:
    loss = curves.fifth("loss", -1)
    if loss is not None and loss < BY_HEART:
        yield CurveNote(
            "by-heart", "The model has memorized the rows", f"A loss of {loss:.2g} nats per token is too low for text."
        )


def _rises(curves: _Curves) -> Iterator[CurveNote]:
    fifths = [value for place in (0, 1, 2, 3, -1) if (value := curves.fifth("loss", place)) is not None]
    if fifths and fifths[-1] > ROSE * min(fifths):
        yield CurveNote(
            "loss-rises", "The loss rises again", f"From a minimum of {min(fifths):.3g} to {fifths[-1]:.3g} now."
        )


_Rule = Callable[[_Curves], Iterator[CurveNote]]
_PREFERENCES: tuple[_Rule, ...] = (
    _starts_elsewhere, _stays, _chosen_falls, _margin_explodes, _right_at_once, _coin, _apart, _gradient_limit, _jumps,
)  # fmt: skip
_FINE_TUNING: tuple[_Rule, ...] = (_by_heart, _rises, _jumps)
NOTE_KEYS = (
    "starts-elsewhere", "loss-stays", "chosen-falls", "margin-explodes", "accuracy-at-once", "accuracy-half",
    "augmented-apart", "gradient-limit", "loss-jumps", "by-heart", "loss-rises",
)  # fmt: skip
