"""The config of a run: one typed, validated object for the launch form, YAML, API, command line and estimate.

``RunConfig`` is immutable. The description of each field is its help text in the form and in the API schema. Equal
configs have the same ``config_hash``, whatever their source.
"""

from training.config.base import ConfigError, Section, read_yaml
from training.config.datasets import DatasetRef, NamedDatasets, dataset_fields, dataset_names, dataset_ref, datasets
from training.config.grid import MOST_POINTS, Axis, Point, axis_problems, grid, read_values
from training.config.models import (
    MODEL_ROLES,
    SAME_AS_TEACHER,
    EvaluatorConfig,
    EvaluatorKind,
    ModelConfig,
    ModelRole,
    StoppingJudgeConfig,
    TeacherConfig,
    TeacherKind,
)
from training.config.preference import (
    LAMBDAS,
    EarlyStoppingConfig,
    LoraConfig,
    LossName,
    PreferenceConfig,
)
from training.config.presets import (
    PRESETS,
    PresetOrigin,
    as_overrides,
    preset_data,
    preset_names,
    preset_origin,
    with_overrides,
)
from training.config.run import JUDGE_FIELDS, JudgeSettings, Paradigm, RunConfig, differences
from training.config.sections import (
    CandidatesConfig,
    EFTConfig,
    EngineConfig,
    EngineKind,
    EvaluationConfig,
    JudgingConfig,
    PairsConfig,
    PromptsConfig,
    ReviewConfig,
    SFTConfig,
    StudentConfig,
)
from training.config.stored import StoredConfig, flatten, read_stored
from training.config.upgrades import UPGRADES, VERSION, upgrade

__all__ = [
    "JUDGE_FIELDS",
    "LAMBDAS",
    "MODEL_ROLES",
    "MOST_POINTS",
    "PRESETS",
    "SAME_AS_TEACHER",
    "UPGRADES",
    "VERSION",
    "Axis",
    "CandidatesConfig",
    "ConfigError",
    "DatasetRef",
    "EFTConfig",
    "EarlyStoppingConfig",
    "EngineConfig",
    "EngineKind",
    "EvaluationConfig",
    "EvaluatorConfig",
    "EvaluatorKind",
    "JudgeSettings",
    "JudgingConfig",
    "LoraConfig",
    "LossName",
    "ModelConfig",
    "ModelRole",
    "NamedDatasets",
    "PairsConfig",
    "Paradigm",
    "Point",
    "PreferenceConfig",
    "PresetOrigin",
    "PromptsConfig",
    "ReviewConfig",
    "RunConfig",
    "SFTConfig",
    "Section",
    "StoppingJudgeConfig",
    "StoredConfig",
    "StudentConfig",
    "TeacherConfig",
    "TeacherKind",
    "as_overrides",
    "axis_problems",
    "dataset_fields",
    "dataset_names",
    "dataset_ref",
    "datasets",
    "differences",
    "flatten",
    "grid",
    "preset_data",
    "preset_names",
    "preset_origin",
    "read_stored",
    "read_values",
    "read_yaml",
    "upgrade",
    "with_overrides",
]
