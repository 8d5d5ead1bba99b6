"""Request and response serializers of the runs API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from alignment_app.api.serializers import ConfigField, JudgedResponseSerializer, PairSerializer, PromptSerializer
from alignment_app.services.leakage import SetLeakage


class LaunchSerializer(serializers.Serializer[Any]):
    """One of config, yaml and preset, plus changes. A body of type application/yaml is the YAML document."""

    config = ConfigField(required=False, help_text="The complete config.")
    yaml = serializers.CharField(required=False, trim_whitespace=False, help_text="The config as a YAML document.")
    preset = serializers.CharField(required=False, max_length=80, help_text="Preset name.")
    overrides = serializers.DictField(
        required=False,
        help_text='Fields to change: {"training.beta": 0.2}.',
        child=serializers.JSONField(allow_null=True),
    )
    name = serializers.CharField(required=False, max_length=120, help_text="Name of the run.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = set(self.initial_data) - set(self.fields) if isinstance(self.initial_data, dict) else set()
        if unknown:
            raise serializers.ValidationError({name: ["unknown field"] for name in sorted(map(str, unknown))})
        return attrs


class CloneSerializer(serializers.Serializer[Any]):
    overrides = serializers.DictField(required=False, child=serializers.JSONField(allow_null=True))
    name = serializers.CharField(required=False, max_length=120)


class BudgetSerializer(serializers.Serializer[Any]):
    """New budget limits; omitted limits do not change."""

    tokens = serializers.IntegerField(required=False, min_value=1)
    usd = serializers.FloatField(required=False, min_value=0)


CostsAnswer = inline_serializer(
    "Costs",
    {
        "calls": serializers.IntegerField(help_text="Calls that used tokens."),
        "lost": serializers.IntegerField(help_text="Calls without a response, counted at their maximum usage."),
        "prompt": serializers.IntegerField(help_text="Tokens read."),
        "completion": serializers.IntegerField(help_text="Tokens written."),
        "tokens": serializers.IntegerField(),
        "usd": serializers.FloatField(),
        "unpriced": serializers.IntegerField(help_text="Calls without a price in the config."),
        "budget_tokens": serializers.IntegerField(allow_null=True),
        "budget_usd": serializers.FloatField(allow_null=True),
    },
)
ConfigAnswer = inline_serializer(
    "ValidConfig",
    {
        "config": ConfigField(),
        "config_hash": serializers.CharField(),
        "yaml": serializers.CharField(),
    },
)
SampleAnswer = inline_serializer(
    "Sample",
    {
        "prompt": PromptSerializer(),
        "iteration": serializers.IntegerField(),
        "outcome": serializers.CharField(help_text="Why the prompt gave a pair or no pair."),
        "outcome_code": serializers.CharField(help_text="The same as a code, such as pair or same_score."),
        "responses": JudgedResponseSerializer(many=True),
        "pair": PairSerializer(allow_null=True),
    },
)
EstimateAnswer = inline_serializer(
    "Estimate",
    {
        "seconds": serializers.FloatField(allow_null=True),
        "memory_bytes": serializers.IntegerField(allow_null=True),
        "disk_bytes": serializers.IntegerField(allow_null=True),
        "fits": serializers.BooleanField(),
        "teacher_tokens": serializers.IntegerField(allow_null=True),
        "teacher_usd": serializers.FloatField(allow_null=True),
        "parts": serializers.ListField(child=serializers.DictField()),
        "notes": serializers.ListField(child=serializers.CharField()),
        "leakage": serializers.ListField(
            child=serializers.DictField(),
            help_text="For each evaluation set (evaluation) and training set (training): status (done or computing), "
            "prompts, same, near, passage, and examples.",
        ),
        "warnings": serializers.ListField(child=serializers.DictField()),
    },
)
EventAnswer = inline_serializer(
    "Events",
    {
        "events": serializers.ListField(child=serializers.DictField()),
        "last_seq": serializers.IntegerField(help_text="Sequence number of the run's newest event."),
    },
)


def leakage_shape(one: SetLeakage) -> dict[str, Any]:
    """Return the leakage of one evaluation set into one training set; while it is computed without numbers."""
    about = {"field": one.field, "evaluation": one.evaluation, "training": one.training}
    if one.found is None:
        return {**about, "status": "computing"}
    return {**about, "status": "done", **one.found.as_data()}
