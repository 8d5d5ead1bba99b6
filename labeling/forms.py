"""The form that creates a queue."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User

from alignment_app.models import Dataset, Evaluation, Iteration
from alignment_app.services import people
from labeling.models import Queue
from labeling.services.queues import NewQueue


def sources() -> list[tuple[str, list[tuple[str, str]]]]:
    """Choices for a queue's source, newest first: iterations with pairs or responses, evaluations, data sets."""
    iterations = Iteration.objects.filter(number__gte=1, responses__isnull=False) | Iteration.objects.filter(
        number__gte=1, pairs__isnull=False
    )
    rounds = iterations.distinct().select_related("run").order_by("-run_id", "-number")[:200]
    compared = Evaluation.objects.filter(comparisons__isnull=False).distinct().select_related("checkpoint__run")
    held = Dataset.objects.filter(kind__in=[Dataset.Kind.SCORED, Dataset.Kind.PREFERENCES])
    return [
        (
            "Iterations",
            [(f"iteration:{row.pk}", f"{row.run.name} (run {row.run_id}), iteration {row.number}") for row in rounds],
        ),
        (
            "Comparisons",
            [
                (
                    f"evaluation:{row.pk}",
                    f"{row.checkpoint.run.name} (run {row.checkpoint.run_id}), {row.checkpoint.name}",
                )
                for row in compared.order_by("-pk")[:200]
            ],
        ),
        ("Data sets", [(f"dataset:{row.pk}", row.name) for row in held[:200]]),
    ]


class QueueForm(forms.Form):
    """The fields of :class:`NewQueue`, and the source."""

    source = forms.CharField(max_length=40)
    name = forms.CharField(max_length=120)
    kind = forms.ChoiceField(choices=Queue.Kind.choices)
    order = forms.ChoiceField(choices=Queue.Order.choices, initial=Queue.Order.IMPACT)
    limit = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)
    overlap = forms.IntegerField(min_value=1, max_value=9, initial=1)
    lease_minutes = forms.IntegerField(min_value=1, max_value=1440, initial=10)
    blind = forms.BooleanField(required=False, initial=True)
    half_points = forms.BooleanField(required=False)
    with_scores = forms.BooleanField(required=False)
    held_out = forms.BooleanField(required=False)
    prefill_percent = forms.IntegerField(min_value=0, max_value=100, initial=0)
    gate = forms.ChoiceField(choices=Queue.Gate.choices, initial=Queue.Gate.LEAD)
    gate_count = forms.IntegerField(required=False, min_value=0)
    gate_percent = forms.IntegerField(required=False, min_value=0, max_value=100)
    deadline = forms.DateTimeField(required=False, widget=forms.DateTimeInput)
    people = forms.ModelMultipleChoiceField(queryset=User.objects.none(), required=False)
    guidelines = forms.CharField(required=False, max_length=100_000)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["people"].queryset = annotators()  # type: ignore[attr-defined]

    def new_queue(self) -> NewQueue:
        """The settings of the new queue."""
        data = self.cleaned_data
        return NewQueue(
            name=data["name"],
            kind=data["kind"],
            order=data["order"],
            overlap=data["overlap"],
            lease_seconds=60 * data["lease_minutes"],
            half_points=data["half_points"],
            with_scores=data["with_scores"]
            and data["kind"] == Queue.Kind.PAIR,  # the page hides the field for other kinds
            blind=data["blind"],
            prefill_share=data["prefill_percent"] / 100,
            held_out=data["held_out"],
            gate=data["gate"],
            gate_count=data["gate_count"] or 0,
            gate_share=(100 if data["gate_percent"] is None else data["gate_percent"]) / 100,
            deadline=data["deadline"],
            people=[person.pk for person in data["people"]],
            guidelines=data["guidelines"],
            limit=data["limit"],
        )

    def source_rows(self) -> dict[str, Any]:
        """The source as arguments of ``make_queue``; adds a form error if it does not exist."""
        kind, _, number = self.cleaned_data["source"].partition(":")
        models: dict[str, Any] = {"iteration": Iteration, "evaluation": Evaluation, "dataset": Dataset}
        row = (
            models[kind].objects.filter(pk=number).first()
            if kind in models and number.isdecimal() and len(number) < 19
            else None
        )
        if row is None:
            self.add_error("source", "Choose where the items come from.")
            return {}
        return {kind: row}


def annotators() -> Any:
    """Active users whose role may answer items."""
    active = User.objects.filter(is_active=True).prefetch_related("groups").order_by("username")
    able = [person.pk for person in active if people.role_of_groups(person) in ("admin", "lead", "annotator")]
    return User.objects.filter(pk__in=able).order_by("username")
