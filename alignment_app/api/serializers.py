"""Serializers of the database models."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from alignment_app.models import (
    Checkpoint,
    Dataset,
    DatasetSnapshot,
    Evaluation,
    Export,
    Iteration,
    Judgement,
    PreferencePair,
    Prompt,
    Response,
    Run,
    Stage,
)

MESSAGES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"type": "string", "enum": ["system", "user", "assistant"]},
            "content": {"type": "string"},
        },
    },
}


@extend_schema_field(MESSAGES)
class MessagesField(serializers.JSONField):
    """A conversation."""


@extend_schema_field({"$ref": "#/components/schemas/RunConfig"})
class ConfigField(serializers.JSONField):
    """A run's config."""


class StageSerializer(serializers.ModelSerializer[Stage]):
    class Meta:
        model = Stage
        fields = (
            "id", "kind", "position", "queue", "status", "reason", "queued_at", "started_at", "finished_at",
            "done", "total", "unit", "rate", "progress", "result",
        )  # fmt: skip


class IterationSerializer(serializers.ModelSerializer[Iteration]):
    stages = StageSerializer(many=True, read_only=True)

    class Meta:
        model = Iteration
        fields = ("id", "run", "number", "input_checkpoint", "started_at", "finished_at", "stages")


class RunSerializer(serializers.ModelSerializer[Run]):
    created_by = serializers.CharField(source="created_by.username", default="", read_only=True)

    class Meta:
        model = Run
        fields: tuple[str, ...] = (
            "id", "name", "paradigm", "preset", "status", "status_reason", "pause_requested", "config_hash",
            "cloned_from", "created_by", "created_at", "started_at", "finished_at", "last_seq",
        )  # fmt: skip


class RunDetailSerializer(RunSerializer):
    config = ConfigField(source="typed_config.to_dict", read_only=True)
    config_unknown = serializers.JSONField(
        source="stored_config.unknown",
        read_only=True,
        help_text="Values of fields that no longer exist, by dotted field.",
    )
    iterations = IterationSerializer(many=True, read_only=True)

    class Meta(RunSerializer.Meta):
        fields = (*RunSerializer.Meta.fields, "config", "config_unknown", "iterations")


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    created_by = serializers.CharField(source="created_by.username", default="", read_only=True)
    prompt_count = serializers.IntegerField(read_only=True, required=False)

    class Meta:
        model = Dataset
        fields = (
            "id", "name", "kind", "description", "licence", "source_hash", "run", "created_by", "created_at",
            "prompt_count",
        )  # fmt: skip


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    messages = MessagesField(read_only=True)

    class Meta:
        model = Prompt
        fields: tuple[str, ...] = (
            "id",
            "dataset",
            "source",
            "messages",
            "text",
            "content_hash",
            "position",
            "meta",
            "checks",
            "created_at",
        )


class ResponseSerializer(serializers.ModelSerializer[Response]):
    class Meta:
        model = Response
        fields: tuple[str, ...] = (
            "id", "prompt", "iteration", "checkpoint", "source", "purpose", "author", "index", "text", "weights",
            "sampling", "seed", "token_count", "logprob", "finish_reason", "created_at",
        )  # fmt: skip


class JudgementSerializer(serializers.ModelSerializer[Judgement]):
    judge = serializers.CharField(source="judge.label", read_only=True)
    judge_id = serializers.IntegerField(read_only=True)
    checkpoint = serializers.IntegerField(source="judge.checkpoint_id", read_only=True, allow_null=True)
    template = serializers.CharField(source="judge.template", read_only=True)
    template_version = serializers.CharField(source="judge.template_version", read_only=True)
    unparsed = serializers.BooleanField(source="is_unparsed", read_only=True)

    class Meta:
        model = Judgement
        fields = (
            "id", "response", "iteration", "source", "judge", "judge_id", "checkpoint", "template", "template_version",
            "score", "unparsed", "spread", "parsed_count", "sample_count", "samples", "rationale", "checks",
            "created_at",
        )  # fmt: skip


class PairSerializer(serializers.ModelSerializer[PreferencePair]):
    class Meta:
        model = PreferencePair
        fields = (
            "id", "prompt", "iteration", "chosen", "rejected", "chosen_score", "rejected_score", "margin", "origin",
            "state", "reason", "created_at", "updated_at",
        )  # fmt: skip


class JudgedResponseSerializer(ResponseSerializer):
    judgements = JudgementSerializer(many=True, read_only=True)

    class Meta(ResponseSerializer.Meta):
        fields = (*ResponseSerializer.Meta.fields, "judgements")


class RowSerializer(PromptSerializer):
    """A prompt of a data set with its imported rows."""

    responses = JudgedResponseSerializer(many=True, read_only=True)

    class Meta(PromptSerializer.Meta):
        fields = (*PromptSerializer.Meta.fields, "responses")


class SnapshotSerializer(serializers.ModelSerializer[DatasetSnapshot]):
    run = serializers.IntegerField(source="iteration.run_id", read_only=True)

    class Meta:
        model = DatasetSnapshot
        fields = ("id", "run", "iteration", "kind", "content_hash", "row_count", "stale_reason", "created_at")


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    judge = serializers.CharField(source="judge.name", default="none", read_only=True)
    judge_id = serializers.IntegerField(read_only=True, allow_null=True)

    class Meta:
        model = Evaluation
        fields = (
            "id",
            "checkpoint",
            "against",
            "judge",
            "judge_id",
            "prompt_count",
            "metrics",
            "leakage",
            "created_at",
        )


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    name = serializers.CharField(read_only=True)
    evaluation = serializers.SerializerMethodField()

    class Meta:
        model = Checkpoint
        fields = (
            "id", "run", "iteration", "number", "name", "kind", "parent", "reference", "snapshot", "config_hash",
            "location", "files", "metrics", "steps", "train_seconds", "created_at", "evaluation",
        )  # fmt: skip

    @extend_schema_field({"type": "object", "nullable": True, "description": "Metrics of its evaluation, if any."})
    def get_evaluation(self, checkpoint: Checkpoint) -> dict[str, Any] | None:
        found = getattr(checkpoint, "evaluation", None)
        return found.metrics if found else None


class ExportSerializer(serializers.ModelSerializer[Export]):
    class Meta:
        model = Export
        fields = (
            "id", "kind", "format", "selection", "author", "row_count", "content_hash", "created_at", "finished_at",
        )  # fmt: skip
