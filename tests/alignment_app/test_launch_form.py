"""The launch form: generated from RunConfig, equal to command and API, with errors at their fields."""

from __future__ import annotations

import html
import re
import shlex
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from alignment_app.forms import LaunchForm
from alignment_app.models import Dataset, Run
from alignment_app.pages import launching
from tests.support.people import person
from tests.support.stories import Story, config, data_sets
from training.config import RunConfig, preset_data, preset_names, with_overrides

CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"sft": {"datasets": ["story-ift"], "limit": 12, "learning_rate": 3.3e-7, "final_learning_rate": 0}},
    {"training": {"lora": {"rank": 8, "alpha": 16.5, "dropout": 0.0}}},
    {"training": {"loss": "trl:sppo_hard", "mix_previous": True, "epochs": 2.5}},
    {"iterations": 0, "evaluation": {"enabled": False}},
    {"name": "naïve: \"quoted\" 'twice' #1"},
    {"student": {"model": "/a path/with spaces", "max_length": 512, "dtype": "bfloat16"}},
)


def as_post(settings: RunConfig, **more: str) -> dict[str, Any]:
    """The data that a browser submits for a form with this config."""
    sent: dict[str, Any] = {**more}
    for item in LaunchForm.from_data(settings.to_dict()).fields:
        if item.kind == "switch":
            if item.value:
                sent[item.path] = "on"
        else:
            sent[item.path] = item.value
    return sent


def query_dict(values: dict[str, Any]) -> QueryDict:
    found = QueryDict(mutable=True)
    for key, value in values.items():
        found.setlist(key, value if isinstance(value, list) else [value])
    return found


@pytest.fixture
def lead(client: Client) -> Client:
    client.force_login(person())
    return client


# ---------------------------------------------------------------- one config at every door


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_through_form_yaml_and_command_is_one_config(name: str) -> None:
    settings = RunConfig.parse(preset_data(name))
    through_form = RunConfig.parse(LaunchForm.from_post(query_dict(as_post(settings))).data())
    assert through_form == settings
    assert RunConfig.from_yaml(through_form.to_yaml()) == settings
    assert launching.command_of(settings, name) == f"python manage.py launch --preset {name}"


@pytest.mark.parametrize("changes", CHANGES)
def test_any_config_through_the_form_is_the_same_config(changes: dict[str, Any]) -> None:
    settings = config(**changes)
    through_form = RunConfig.parse(LaunchForm.from_post(query_dict(as_post(settings))).data())
    assert through_form == settings
    assert through_form.config_hash == settings.config_hash


@pytest.mark.parametrize("changes", CHANGES)
def test_the_command_beside_the_form_is_the_same_config(changes: dict[str, Any]) -> None:
    preset, settings = preset_names()[0], config(**changes)
    words = shlex.split(launching.command_of(settings, preset).replace("\\\n", " "))
    assert words[:5] == ["python", "manage.py", "launch", "--preset", preset]
    changed = [word for flag, word in zip(words[5::2], words[6::2], strict=True) if flag == "--set"]
    assert RunConfig.parse(with_overrides(preset_data(preset), changed)) == settings


def test_every_field_of_the_config_has_a_label_and_help() -> None:
    form = LaunchForm({})
    for item in form.fields:
        assert item.label, item.path
        assert item.help, item.path


# ---------------------------------------------------------------- the pages


@pytest.mark.django_db
def test_the_first_page_offers_every_preset_and_names_missing_data(lead: Client) -> None:
    text = lead.get(reverse("launch")).content.decode()
    for name in preset_names():
        assert f"?preset={name}" in text
    assert "Missing data: oasst-ift" in text


@pytest.mark.django_db
def test_a_preset_fills_the_form_and_names_missing_data(lead: Client) -> None:
    text = html.unescape(lead.get(reverse("launch"), {"preset": "phi2-gemini-self-reward"}).content.decode())
    assert "microsoft/phi-2" in text
    assert "oasst-ift (missing)" in text
    assert "there is no data set named 'oasst-ift'; import it first" in text


@pytest.mark.django_db
def test_an_unknown_preset_leads_back_to_the_choice(lead: Client) -> None:
    text = lead.get(reverse("launch"), {"preset": "no-such"}).content.decode()
    assert "Unknown recipe no-such" in text


@pytest.mark.django_db
def test_a_form_launches_a_run_and_leads_to_its_page(lead: Client) -> None:
    data_sets()
    response = lead.post(reverse("launch"), as_post(config(name="from the form"), preset="", clone=""))
    run = Run.objects.get()
    assert response.headers["Location"] == reverse("run", args=[run.pk])
    assert RunConfig.parse(run.config) == config(name="from the form")
    assert run.created_by is not None
    assert run.created_by.get_username() == "lead"


@pytest.mark.django_db
def test_a_clone_starts_from_the_runs_config_and_remembers_it(lead: Client) -> None:
    first = Story.launch(name="the first", seed=7).run
    text = lead.get(reverse("launch"), {"clone": first.pk}).content.decode()
    assert "Clone of the first" in text
    assert 'value="7"' in text
    lead.post(reverse("launch"), as_post(config(name="the second", seed=8), clone=str(first.pk)))
    assert Run.objects.get(name="the second").cloned_from == first
    assert lead.get(reverse("launch"), {"clone": "999"}).status_code == 404
    assert lead.get(reverse("launch"), {"clone": "x"}).status_code == 404


BAD = (
    ("iterations", "many", "must be a whole number"),
    ("iterations", "21", "less than or equal to 20"),
    ("name", "", "at least 1 character"),
    ("name", "a\x07b", "printable characters"),
    ("name", "a\x00b", "NUL"),
    ("seed", "-1", "greater than or equal to 0"),
    ("paradigm", "magic", "must be 'self_reward'"),
    ("student.model", "   ", "at least 1 character"),
    ("student.model", "/no/such/folder", "there is no folder"),
    ("candidates.n", "1", "must be 2 or more"),
    ("candidates.temperature", "9", "less than or equal to 2"),
    ("candidates.max_new_tokens", "512", "must be below student.max_length"),
    ("judging.recorded_scores", "teacher", "needs candidates.from_dataset"),
    ("training.learning_rate", "fast", "must be a number"),
    ("training.learning_rate", "nan", "must be a finite number"),
    ("training.max_grad_norm", "inf", "must be a finite number"),
    ("training.batch_size", "12", "must be a multiple of micro_batch_size"),
    ("training.final_learning_rate", "0.5", "must not be above the peak"),
    ("teacher.kind", "none", "needs a teacher"),
    ("teacher.kind", "checkpoint", "is required for a teacher"),
    ("evaluation.dataset", "", "name a data set with held-out prompts"),
    ("evaluation.dataset", "unheard-of", "there is no data set named"),
    ("prompts.count", "1.5", "must be a whole number"),
)


@pytest.mark.django_db
@pytest.mark.parametrize(("field", "typed", "sentence"), BAD)
def test_an_invalid_value_is_reported_at_its_field_and_kept(
    lead: Client, field: str, typed: str, sentence: str
) -> None:
    data_sets()
    sent = as_post(config(name="kept as typed")) | {"training.beta": "0.37", field: typed}
    response = lead.post(reverse("launch"), sent)
    assert response.status_code == 422
    assert Run.objects.count() == 0
    text = html.unescape(response.content.decode())
    shown = [LaunchForm.from_post(query_dict(sent)).by_path[path] for path in (field, "training.beta")]
    if shown[0].kind in ("text", "number") and "\x00" not in typed and typed.strip():
        assert f'value="{typed}"' in text
    assert 'value="0.37"' in text
    lists = re.findall(r'class="field-messages".*?</span>\s*</div>', text, re.S)
    messages = [re.sub(r"<[^>]+>", " ", part).lower() for part in lists]
    assert any(sentence.lower() in message for message in messages), messages


@pytest.mark.django_db
def test_a_missing_fine_tuning_data_set_is_reported_at_its_field(lead: Client) -> None:
    data_sets()
    sent = as_post(config())
    sent["sft.datasets"] = []
    response = lead.post(reverse("launch"), sent)
    assert response.status_code == 422
    assert "Name at least one data set" in response.content.decode()


@pytest.mark.django_db
def test_an_empty_post_is_a_page_of_problems_and_no_error(lead: Client) -> None:
    response = lead.post(reverse("launch"), {})
    assert response.status_code == 422
    assert Run.objects.count() == 0


@pytest.mark.django_db
def test_the_check_gives_estimate_yaml_and_command_while_typing(lead: Client) -> None:
    data_sets()
    settings = config(student={"model": "org/model-1b", "max_length": 512})
    text = html.unescape(lead.post(reverse("launch-check"), as_post(settings)).content.decode())
    assert "Estimate</h2>" in text
    assert "name: miniature, teacher reward" in text
    assert "python manage.py launch" in text
    assert "<html" not in text
    assert Run.objects.count() == 0


@pytest.mark.django_db
def test_the_check_names_each_problem_and_which_fields_apply(lead: Client) -> None:
    data_sets()
    sent = as_post(config()) | {"training.beta": "none at all", "training.loss": "dpo"}
    text = lead.post(reverse("launch-check"), sent).content.decode()
    assert "1 error" in text
    notes = LaunchForm.from_post(query_dict(sent)).by_path
    assert not notes["training.lam"].applies
    assert not notes["teacher.model"].applies


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"evaluation": {"dataset": "story-prompts", "max_new_tokens": 48}}, "evaluation.dataset", "biased"),
        ({"prompts": {"dataset": "story-prompts", "count": 30}}, "prompts.count", "repeat"),
        ({"prompts": {"dataset": "story-prompts", "count": 300}}, "prompts.count", "has only 40"),
        ({"candidates": {"temperature": 0, "max_new_tokens": 48}}, "candidates.temperature", "all candidates"),
        ({"evaluation": {"enabled": False}}, "evaluation.enabled", "Without evaluation"),
    ],
)
def test_probable_mistakes_are_warnings(changes: dict[str, Any], field: str, words: str) -> None:
    data_sets()
    found = dict(launching.warnings_of(config(**changes), launching.dataset_choices(), []))
    assert words in found[field]


# ---------------------------------------------------------------- a YAML document


@pytest.mark.django_db
@pytest.mark.parametrize("as_file", [True, False])
def test_a_yaml_document_fills_the_form(lead: Client, as_file: bool) -> None:
    data_sets()
    text = config(name="from YAML", seed=11).to_yaml()
    sent: dict[str, Any] = {"import": "1", "yaml": "" if as_file else text}
    if as_file:
        sent["file"] = SimpleUploadedFile("run.yaml", text.encode())
    answer = lead.post(reverse("launch"), sent).content.decode()
    assert 'value="from YAML"' in answer
    assert 'value="11"' in answer


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the document is empty"),
        ("name: [", "not valid YAML at line"),
        ("- a\n- b", "must be a mapping"),
        ("name: x\nparadigm: self_reward\nstudent: {model: m}\nstuden: 1", "unknown field"),
        ("name: x", "is required"),
    ],
)
def test_an_invalid_yaml_document_is_reported_and_kept(lead: Client, text: str, sentence: str) -> None:
    response = lead.post(reverse("launch"), {"import": "1", "yaml": text})
    assert response.status_code == 422
    answer = html.unescape(response.content.decode())
    assert sentence in answer
    assert text in answer


@pytest.mark.django_db
def test_a_binary_file_is_refused(lead: Client) -> None:
    sent = {"import": "1", "yaml": "kept", "file": SimpleUploadedFile("run.yaml", b"\xff\xfe\x00")}
    response = lead.post(reverse("launch"), sent)
    assert response.status_code == 422
    assert "not UTF-8" in response.content.decode()
    assert "kept" in response.content.decode()


# ---------------------------------------------------------------- who may


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["viewer", "annotator"])
def test_only_leads_and_admins_launch(client: Client, role: str) -> None:
    client.force_login(person(role))
    assert client.get(reverse("launch")).status_code == 403
    assert client.post(reverse("launch"), as_post(config())).status_code == 403
    assert client.post(reverse("launch-check"), as_post(config())).status_code == 403
    assert Run.objects.count() == 0


@pytest.mark.django_db
def test_data_sets_of_another_kind_are_not_offered() -> None:
    data_sets()
    Dataset.objects.create(name="pairs-only", kind=Dataset.Kind.PREFERENCES)
    form = LaunchForm.from_data(config().to_dict(), launching.dataset_choices())
    assert "pairs-only" not in dict(form.by_path["sft.datasets"].choices)
    assert "pairs-only" in dict(form.by_path["pairs.from_dataset"].choices)


# ---------------------------------------------------------------- the evaluator


REMOTE = {"kind": "openai_compatible", "model": "m-9b", "base_url": "http://127.0.0.1:1/v1"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"paradigm": "teacher_reward", "teacher": REMOTE}, True),
        ({"paradigm": "teacher_demonstration", "teacher": REMOTE}, True),
        ({"paradigm": "teacher_reward", "teacher": REMOTE, "evaluator": {**REMOTE, "temperature": 0.5}}, True),
        ({"paradigm": "teacher_reward", "teacher": REMOTE, "evaluator": {**REMOTE, "model": "other"}}, False),
        ({"paradigm": "self_reward", "teacher": REMOTE}, False),
        ({"paradigm": "teacher_reward", "teacher": {"kind": "oracle"}}, False),
    ],
)
def test_an_evaluator_that_also_makes_the_preferences_has_a_warning(changes: dict[str, Any], warned: bool) -> None:
    data_sets()
    settings = config(**changes)
    assert settings.evaluator_makes_preferences == warned
    found = [path for path, _ in launching.warnings_of(settings, launching.dataset_choices(), [])]
    assert ("evaluator.kind" in found) == warned


def test_the_form_shows_the_fields_of_an_evaluator_and_of_the_judge_of_early_stopping() -> None:
    def shown(**data: Any) -> set[str]:
        fields = LaunchForm.from_data({"iterations": 1, **data}).fields
        names = {item.path for item in fields if item.applies}
        return {name for name in names if name.startswith(("evaluator.", "stopping_judge.", "teacher.budget"))}

    assert shown() == {"evaluator.kind"}
    assert shown(evaluation={"enabled": False}) == set()
    remote = shown(evaluator={"kind": "gemini"})
    assert {"evaluator.model", "evaluator.k", "evaluator.template", "evaluator.safety", "teacher.budget_usd"} <= remote
    assert "stopping_judge.kind" not in remote
    own = shown(training={"early_stopping": {"judge": "own"}}, stopping_judge={"kind": "checkpoint"})
    assert {"stopping_judge.kind", "stopping_judge.model"} <= own
    assert "stopping_judge.base_url" not in own


@pytest.mark.django_db
def test_a_key_or_model_of_the_evaluator_that_is_missing_is_refused_on_its_field(lead: Client) -> None:
    data_sets()
    sent = as_post(config()) | {"evaluator.kind": "gemini", "evaluator.model": "g", "evaluator.key": "nobody"}
    response = lead.post(reverse("launch"), sent)
    assert response.status_code == 422
    assert [path for path, _ in response.context["problems"]] == ["evaluator.key"]
    response = lead.post(reverse("launch"), {**sent, "evaluator.key": "", "evaluator.model": ""})
    assert [path for path, _ in response.context["problems"]] == ["evaluator.model"]
