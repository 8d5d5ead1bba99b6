"""What a training's curves show, in plain words: a note for each known shape that is there.

A shape is judged on means over fifths of the steps so far and not before :data:`FEWEST_STEPS`, except how a training
begins. Every threshold is a constant here; ``docs/training.md`` has a row under the note's key that says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from training.domain.loss_specs import LOSSES, loss_label

Series = Sequence[tuple[float, float]]
"""(step, value), in order of steps."""

FEWEST_STEPS = 20
START_TOLERANCE = 0.02  #: share of the loss that a policy equal to its reference has
FLAT = 0.01  #: share of the starting loss that the loss has not left after half of the steps
REWARD_MOVED = 0.05  #: nats times β
ACCURACY_ROSE = 0.05
MARGIN_LARGE = 5.0  #: β·h at which the sigmoid loss is below 0.007
LOSS_GONE = 0.05
OVERSHOOT = 2.0  #: times the β·h at which the loss is least
EARLY_STEPS = 10
ALL_RIGHT = 0.98
COIN = 0.05  #: distance from one half
MARGIN_MOVED = 0.1
ALWAYS = 0.95  #: share of the steps
JUMP = 0.2  #: mean change from step to step, as a share of the mean loss
APART = 0.15  #: difference of two accuracies
BY_HEART = 0.1  #: nats a token
ROSE = 1.1


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What the curves come from. ``steps`` is how many the training will have; ``fine_tuning``: a loss on tokens."""

    loss: str = "dpo"
    beta: float = 0.1
    max_grad_norm: float = 1.0
    dropout: float = 0.0
    starts_at_reference: bool = True
    steps: int | None = None
    fine_tuning: bool = False

    @property
    def starting_loss(self) -> float | None:
        """The loss of a policy that equals its reference, where that is known."""
        spec = LOSSES.get(self.loss)
        return spec.starting_loss(self.beta) if spec and spec.starting_loss else None

    @property
    def best_margin(self) -> float | None:
        """The margin β·h at which the loss is least, where there is one."""
        spec = LOSSES.get(self.loss)
        return spec.best_margin if spec else None


@dataclass(frozen=True, slots=True)
class CurveNote:
    """``key`` names the shape and its row in the documentation; ``title`` and ``text`` are for the screen."""

    key: str
    title: str
    text: str


def curve_notes(series: Mapping[str, Series], setting: TrainingSettings) -> list[CurveNote]:
    """The notes that hold for these curves; names as in :data:`training.trainers.results.Report`."""
    curves = _Curves({name: [value for _, value in line] for name, line in series.items()}, setting)
    rules = _FINE_TUNING if setting.fine_tuning else _PREFERENCES
    return [note for rule in rules for note in rule(curves)]


class _Curves:
    def __init__(self, values: Mapping[str, Sequence[float]], setting: TrainingSettings) -> None:
        self.values, self.setting = values, setting

    def fifth(self, name: str, place: int, of: Callable[[Sequence[float]], float] = fmean) -> float | None:
        """Mean (or ``of``) over one fifth of the steps so far, -1 the last; ``None`` where there are too few."""
        values = self.values.get(name, ())
        if len(values) < FEWEST_STEPS:
            return None
        width = len(values) // 5
        return of(values[-width:] if place == -1 else values[place * width : (place + 1) * width])

    def ends(self, name: str, of: Callable[[Sequence[float]], float] = fmean) -> tuple[float, float] | None:
        """First and last fifth of a curve."""
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
            "The loss does not begin where it should",
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
            f"It is {last:.4g} now and began at {expected:.4g}: so far the policy has learnt nothing from the pairs.",
        )


def _chosen_falls(curves: _Curves) -> Iterator[CurveNote]:
    # Medians: a single step far out is no fall. Without step 1, where all are ties and accuracy is 0.
    chosen_ends, accuracy_ends = curves.ends("chosen_reward", median), curves.ends("accuracy", _without_ties)
    if chosen_ends is None or accuracy_ends is None:
        return
    (chosen_before, chosen), (accuracy_before, accuracy) = chosen_ends, accuracy_ends
    fell = chosen < chosen_before - REWARD_MOVED and chosen < -REWARD_MOVED
    if fell and accuracy > max(accuracy_before, 0.5) + ACCURACY_ROSE:
        yield CurveNote(
            "chosen-falls",
            "The chosen reward falls while accuracy rises",
            f"From {chosen_before:.2f} to {chosen:.2f}, accuracy from {accuracy_before:.0%} to {accuracy:.0%}: the "
            "chosen responses become less likely too, the rejected ones faster.",
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
                f"The margin is far past what {loss_label(curves.setting.loss)} asks for",
                f"It is {margin:.2f}, and the loss is least at {best:g}.",
            )
    elif margin > MARGIN_LARGE and margin > before and loss < LOSS_GONE:
        yield CurveNote(
            "margin-explodes",
            "The margin grows on and the loss is near 0",
            f"Margin {margin:.1f}, loss {loss:.2g}: the pairs are learnt by heart.",
        )


def _right_at_once(curves: _Curves) -> Iterator[CurveNote]:
    early = curves.values.get("accuracy", ())[1:EARLY_STEPS]  # at step 1 all are ties
    if len(early) == EARLY_STEPS - 1 and fmean(early) >= ALL_RIGHT:
        yield CurveNote(
            "accuracy-at-once",
            "Accuracy is 1 at once",
            f"{fmean(early):.0%} over steps 2 to {EARLY_STEPS}: something trivial may tell chosen from rejected.",
        )


def _coin(curves: _Curves) -> Iterator[CurveNote]:
    accuracy, margin = curves.fifth("accuracy", -1), curves.values.get("margin", ())
    if accuracy is None or abs(accuracy - 0.5) > COIN:
        return
    size = fmean([abs(value) for value in margin[-(len(margin) // 5) :]]) if len(margin) >= FEWEST_STEPS else 0.0
    if size > MARGIN_MOVED:
        yield CurveNote(
            "accuracy-half",
            "Accuracy stays at one half while the margin moves",
            f"{accuracy:.0%} of the pairs are in order, at margins of {size:.2f} either way.",
        )


def _gradient_limit(curves: _Curves) -> Iterator[CurveNote]:
    limit, norms = curves.setting.max_grad_norm, curves.values.get("grad_norm", ())
    if not limit or len(norms) < FEWEST_STEPS:
        return
    share = fmean([norm > limit for norm in norms])
    if share >= ALWAYS:
        yield CurveNote(
            "gradient-limit",
            "The gradient is cut at each step",
            f"Above max_grad_norm, {limit:g}, at {share:.0%} of the steps; {fmean(norms):.3g} in the mean.",
        )


def _jumps(curves: _Curves) -> Iterator[CurveNote]:
    losses, ends = curves.values.get("loss", ()), curves.ends("loss")
    if ends is None:
        return
    change = fmean([abs(after - before) for before, after in pairwise(losses)])
    if change > JUMP * abs(fmean(losses)) and change > 2 * abs(ends[0] - ends[1]):
        yield CurveNote(
            "loss-jumps",
            "The loss jumps from step to step",
            f"By {change:.2g} from one step to the next, more than it has moved since the beginning.",
        )


def _apart(curves: _Curves) -> Iterator[CurveNote]:
    plain, augmented = curves.fifth("accuracy", -1), curves.fifth("augmented_accuracy", -1)
    if plain is not None and augmented is not None and abs(plain - augmented) > APART:
        yield CurveNote(
            "augmented-apart",
            "Accuracy on the augmented prompts is another",
            f"{augmented:.0%} there, {plain:.0%} on the plain ones. The self-refined losses suppose they are alike.",
        )


def _by_heart(curves: _Curves) -> Iterator[CurveNote]:
    loss = curves.fifth("loss", -1)
    if loss is not None and loss < BY_HEART:
        yield CurveNote(
            "by-heart", "The rows are learnt by heart", f"The loss is {loss:.2g} nats a token; text has more surprise."
        )


def _rises(curves: _Curves) -> Iterator[CurveNote]:
    fifths = [value for place in (0, 1, 2, 3, -1) if (value := curves.fifth("loss", place)) is not None]
    if fifths and fifths[-1] > ROSE * min(fifths):
        yield CurveNote(
            "loss-rises", "The loss rises again", f"From {min(fifths):.3g} at its lowest to {fifths[-1]:.3g} now."
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
