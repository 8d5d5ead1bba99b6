"""Studies: launch, monitor, control and plot a grid of runs, at all entry points."""

from __future__ import annotations

import csv
import html
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from alignment_app.models import Checkpoint, Run, Study
from alignment_app.pages import studies as selectors
from alignment_app.pages.studies import StudyView
from alignment_app.services import runs, studies
from alignment_app.services.errors import Refused
from tests.support.people import person
from tests.support.runs import drive, pairs_config
from tests.support.stories import Story, config, data_sets
from tests.support.students import save_little_student
from training.config import ConfigError

pytestmark = pytest.mark.django_db

VARY = {"training.lam": [0, 0.3], "training.loss": ["sr_dpo", "sr_ipo"]}


@pytest.fixture
def lead(client: Client) -> Client:
    client.force_login(person())
    return client


def asked(**changes: Any) -> dict[str, Any]:
    data_sets()
    return {"name": "λ and loss", "config": config().to_dict(), "vary": VARY, **changes}


def launched(**changes: Any) -> Study:
    return studies.launch(studies.plan(asked(**changes)))


def sent(**changes: str) -> dict[str, str]:
    run = Story.launch().run
    return {
        "name": "by the form", "start": f"run:{run.pk}", "changes": "training.epochs=2", "field_1": "training.lam",
        "values_1": "0, 0.3", "field_2": "training.loss", "values_2": "sr_dpo, sr_ipo", **changes,
    }  # fmt: skip


def values_of(study: Study) -> list[tuple[Any, Any]]:
    return [(place.run.config["training"]["lam"], place.run.config["training"]["loss"]) for place in study.places.all()]


EXPECTED = [(0, "sr_dpo"), (0, "sr_ipo"), (0.3, "sr_dpo"), (0.3, "sr_ipo")]

# ---------------------------------------------------------------- launching


def test_a_study_is_launched_as_a_run_for_each_combination() -> None:
    study = launched(set={"training.epochs": 2})
    assert values_of(study) == EXPECTED
    assert {place.run.config["training"]["epochs"] for place in study.places.all()} == {2}
    assert {place.run.status for place in study.places.all()} == {"queued"}


def test_nothing_is_launched_where_one_value_cannot_be() -> None:
    with pytest.raises(ConfigError, match="with lam 40"):
        launched(vary={"training.lam": [0.1, 40]})
    assert not Study.objects.exists()
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vary": {}}, ""),
        ({"vary": "training.lam"}, "vary"),
        ({"name": " "}, "name"),
        ({"preset": "miniature-self-reward"}, ""),
        ({"config": None}, ""),
        ({"config": None, "run": 999}, "run"),
        ({"set": ["a"]}, "set"),
        ({"what": 1}, "what"),
        ({"set": {"evaluation.dataset": "nowhere"}}, "evaluation.dataset"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_on_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        studies.plan(asked(**changes))
    assert caught.value.problems[0][0] == field


def test_the_form_shows_the_number_of_runs_and_their_cost(lead: Client) -> None:
    text = lead.post(reverse("study-check"), sent()).content.decode()
    assert "4 runs, one after another" in text
    assert "about" in text
    assert "python manage.py study --run" in text
    assert Study.objects.count() == 0
    answer = lead.post(reverse("study-new"), sent())
    study = Study.objects.get()
    assert answer.headers["Location"] == reverse("study", args=[study.pk])
    assert values_of(study) == EXPECTED


def test_the_form_keeps_input_and_shows_errors(lead: Client) -> None:
    answer = lead.post(reverse("study-new"), sent(values_1="0, x"))
    text = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="0, x"' in text
    assert "must be auto, or a number" in text
    for changes, words in (
        ({"changes": "nonsense"}, "not of the form"),
        ({"start": ""}, "give one of them"),
        ({"field_2": "training.lam"}, "two different fields"),
        ({"values_1": "[", "field_2": ""}, "not valid YAML"),
        ({"start": "run:" + "9" * 30}, "there is no run"),
    ):
        assert words in lead.post(reverse("study-check"), sent(**changes)).content.decode(), changes


def test_all_missing_fields_are_reported_at_once(lead: Client) -> None:
    empty = lead.post(reverse("study-new"), {"field_1": "", "values_1": ""}).content.decode()
    assert "3 errors" in empty
    for words in ("give one of them", "choose a field", "give the study a name"):
        assert words in empty
    changes = {"name": "", "start": "preset:no", "values_1": "", "values_2": "[, x", "changes": "nonsense"}
    several = html.unescape(lead.post(reverse("study-check"), sent(**changes)).content.decode())
    for words in (
        "unknown preset 'no'",
        "give values separated by commas",
        "not valid YAML",
        "give the study a name",
        "'nonsense' is not of the form",
    ):
        assert words in several, words
    assert "5 errors" in several


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("preset=no", "unknown preset 'no'"),
        ("start=preset:no", "unknown preset 'no'"),
        ("run=999", "there is no run 999"),
        ("run=x", "there is no run x"),
        ("start=elsewhere", "give one of them"),
    ],
)
def test_a_form_for_an_unknown_base_reports_an_error(lead: Client, query: str, words: str) -> None:
    assert words in html.unescape(lead.get(f"{reverse('study-new')}?{query}").content.decode())


def test_a_form_for_a_preset_selects_it_without_errors(lead: Client) -> None:
    text = lead.get(reverse("study-new") + "?preset=miniature-self-reward").content.decode()
    assert 'value="preset:miniature-self-reward" selected' in text
    assert 'class="mend"' not in text
    assert 'class="mend"' not in lead.get(reverse("study-new")).content.decode()


def test_a_beta_of_zero_is_refused_with_a_reason(lead: Client) -> None:
    changes = {"field_1": "training.beta", "values_1": "0, 0.1", "field_2": "", "values_2": ""}
    text = html.unescape(lead.post(reverse("study-check"), sent(**changes)).content.decode())
    assert "must be above 0" in text
    assert "(with beta 0)" in text
    assert "given:" not in text


def test_a_field_that_changes_nothing_is_pointed_out(lead: Client) -> None:
    text = lead.post(reverse("study-check"), sent(values_2="dpo, sr_dpo")).content.decode()
    assert "has no effect in 2 of the 4 runs" in text


def test_the_command_takes_what_the_form_shows(tmp_path: Path, lead: Client) -> None:
    answer = lead.post(reverse("study-check"), sent())
    document = tmp_path / "study.yaml"
    document.write_text(answer.context["yaml"])
    assert yaml.safe_load(answer.context["yaml"])["vary"] == VARY
    out = io.StringIO()
    call_command("study", str(document), stdout=out)
    assert "with 4 runs" in out.getvalue()
    run = sent()["start"].removeprefix("run:")
    vary = ["--vary", "training.lam=0, 0.3", "--vary", 'training.loss="sr_dpo", "sr_ipo"']
    call_command("study", "--run", run, "--name", "by options", *vary, "--set", "training.epochs=2", stdout=out)
    by_file, by_options = Study.objects.order_by("pk")
    assert values_of(by_file) == values_of(by_options) == EXPECTED
    hashes = [[place.run.config_hash for place in study.places.all()] for study in (by_file, by_options)]
    assert hashes[0] == hashes[1]


def test_the_command_checks_without_starting_and_refuses_in_words(tmp_path: Path) -> None:
    data_sets()
    document = tmp_path / "study.yaml"
    document.write_text(yaml.safe_dump(asked()))
    out = io.StringIO()
    call_command("study", str(document), "--check", stdout=out)
    assert "4 runs" in out.getvalue()
    assert not Study.objects.exists()
    with pytest.raises(CommandError, match="not of the form"):
        call_command("study", str(document), "--vary", "training.lam", stdout=out)
    document.write_text("- a list")
    with pytest.raises(CommandError, match="must be a mapping"):
        call_command("study", str(document), stdout=out)


def test_viewers_read_studies_and_launch_none(client: Client) -> None:
    study = launched()
    client.force_login(person("viewer", "viewer"))
    assert client.get(reverse("study", args=[study.pk])).status_code == 200
    assert client.get(reverse("study-new")).status_code == 403
    assert client.post(reverse("study-act", args=[study.pk, "cancel"])).status_code == 403
    assert client.get(reverse("study", args=[study.pk + 1])).status_code == 404


# ---------------------------------------------------------------- steering


def test_all_runs_are_paused_resumed_and_cancelled_as_one(lead: Client) -> None:
    study = launched()

    def states() -> set[str]:
        return set(Run.objects.filter(study_place__study=study).values_list("status", flat=True))

    for verb, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        lead.post(reverse("study-act", args=[study.pk, verb]))
        assert states() == {state}
    with pytest.raises(Refused, match="has ended"):
        studies.cancel(study)


def test_a_study_is_removed_with_its_runs_once_none_is_active(lead: Client) -> None:
    study = launched()
    with pytest.raises(Refused, match="Cancel them first"):
        studies.remove(study)
    studies.cancel(study)
    lead.post(reverse("study-act", args=[study.pk, "remove"]))
    assert not Study.objects.exists()
    assert not Run.objects.exists()


def test_a_run_that_is_removed_alone_leaves_the_others(lead: Client) -> None:
    study = launched()
    studies.cancel(study)
    runs.remove(study.places.all()[0].run)
    assert len(selectors.view(selectors.load(study.pk)).outcomes) == 3
    assert lead.get(reverse("study", args=[study.pk])).status_code == 200


def test_the_list_of_studies_asks_the_database_the_same_for_one_and_for_many(
    lead: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(3):
        launched(name=f"study {number}", vary={"seed": [1, 2]})
    with django_assert_max_num_queries(16):
        text = lead.get(reverse("studies")).content.decode()
    assert text.count("2 queued") == 3


def test_the_page_of_a_run_names_its_study(lead: Client) -> None:
    study = launched()
    text = lead.get(reverse("run", args=[study.places.all()[0].run.pk])).content.decode()
    assert reverse("study", args=[study.pk]) in text


# ---------------------------------------------------------------- a whole study


def measured(study: Study, values: dict[tuple[float, int], dict[str, float]]) -> StudyView:
    """Give each run of a study of λ and the seed a checkpoint with these metrics."""
    for place in study.places.select_related("run"):
        lam, seed = place.values
        metrics = {"margins": {"held_out": values[lam, seed]}}
        Checkpoint.objects.create(
            run=place.run, number=2, kind="preference", config_hash="0", location="x", metrics=metrics
        )
    return selectors.view(selectors.load(study.pk))


def test_results_are_averaged_over_the_seed(lead: Client) -> None:
    study = launched(vary={"training.lam": [0, 0.3], "seed": [1, 2, 3]})
    margins = {(0, 1): 1.0, (0, 2): 1.2, (0, 3): 1.1, (0.3, 1): 2.0, (0.3, 2): 2.2, (0.3, 3): 2.1}
    accuracies = {(0, 1): 0.6, (0, 2): 0.7, (0, 3): 0.8, (0.3, 1): 0.7, (0.3, 2): 0.8, (0.3, 3): 0.9}
    shown = measured(study, {key: {"margin": margins[key], "accuracy": accuracies[key]} for key in margins})
    assert [field for field, _ in shown.fields] == ["training.lam"]
    assert shown.seeds == 3
    one, other = shown.cells
    assert (one.raw, [row.seed for row in one.rows]) == ([0], [1, 2, 3])
    found = one.figures["held_out_margin"]
    assert (found.estimate.mean, found.estimate.spread, found.estimate.seeds) == (
        pytest.approx(1.1),
        pytest.approx(0.1),
        3,
    )
    assert found.is_over_seeds
    assert (found.low, found.high) == pytest.approx((1.1 - 4.302653 * 0.1 / 3**0.5, 1.1 + 4.302653 * 0.1 / 3**0.5))
    assert other.best == set()  # more margin is not better, and the intervals of the accuracy overlap

    plot = lead.get(reverse("study", args=[study.pk])).context["plot"]
    (line,) = plot["series"]
    assert [(point["x"], point["y"]["held_out_margin"]) for point in line["points"]] == [
        (0, pytest.approx(1.1)),
        (0.3, pytest.approx(2.1)),
    ]
    (metric,) = [one for one in plot["measures"] if one["key"] == "held_out_margin"]
    assert line["points"][0]["y"][metric["low"]] == pytest.approx(found.low)

    heading, *rows = csv.reader(
        io.StringIO(lead.get(reverse("study-csv", args=[study.pk]), {"average": "seeds"}).content.decode())
    )
    assert heading[:2] == ["training.lam", "runs"]
    row = dict(zip(heading, rows[1], strict=True))
    assert (float(row["held_out_margin"]), row["held_out_margin_seeds"]) == (pytest.approx(2.1), "3")

    cells = lead.get(f"/api/v1/studies/{study.pk}/").json()["cells"]
    assert [(cell["values"], len(cell["runs"])) for cell in cells] == [([0], 3), ([0.3], 3)]
    assert cells[0]["measures"]["held_out_margin_spread"] == pytest.approx(0.1)


def test_a_point_is_the_best_only_if_its_interval_over_seeds_overlaps_no_other() -> None:
    study = launched(vary={"training.lam": [0, 0.3], "seed": [1, 2, 3]})
    values = {(0, 1): 0.5, (0, 2): 0.51, (0, 3): 0.52, (0.3, 1): 0.8, (0.3, 2): 0.81, (0.3, 3): 0.82}
    shown = measured(study, {key: {"accuracy": value} for key, value in values.items()})
    assert [cell.best for cell in shown.cells] == [set(), {"held_out_accuracy"}]


def test_without_seeds_a_point_has_the_interval_of_its_run_and_none_is_best(lead: Client) -> None:
    study = launched(vary={"training.lam": [0, 0.3], "seed": [1]})
    values = {(0, 1): (0.5, 0.45, 0.55), (0.3, 1): (0.8, 0.75, 0.85)}
    shown = measured(
        study,
        {
            key: {"accuracy": value, "accuracy_low": low, "accuracy_high": high}
            for key, (value, low, high) in values.items()
        },
    )
    figure = shown.cells[1].figures["held_out_accuracy"]
    assert (figure.low, figure.high, figure.is_over_seeds, figure.estimate.spread) == (0.75, 0.85, False, None)
    assert [cell.best for cell in shown.cells] == [set(), set()]
    assert lead.get(reverse("study", args=[study.pk])).status_code == 200


def test_the_form_takes_seeds_once(lead: Client) -> None:
    page = lead.post(reverse("study-check"), sent(seeds="1, 2, 3"))
    assert len(page.context["plan"].points) == 12
    assert page.context["seeds"] == 3
    page = lead.post(reverse("study-check"), sent(seeds="1, 2", field_2="seed", values_2="3"))
    assert {field for field, _ in page.context["problems"]} == {"seed"}


@pytest.mark.django_db(transaction=True)
def test_a_study_of_two_by_two_runs_to_its_end_and_is_plotted_and_exported(lead: Client, tmp_path: Path) -> None:
    student = save_little_student(tmp_path / "student")
    base = pairs_config(student, pairs=8, held_out_pairs=3)
    study = studies.launch(studies.plan({"name": "two by two", "config": base, "vary": VARY}))
    for place in study.places.all():
        drive(place.run)
    shown = selectors.view(selectors.load(study.pk))
    assert shown.states == [("finished", "Finished", 4)]
    assert shown.progress == 1
    assert {metric.key for metric in shown.measures} >= {
        "held_out_accuracy",
        "held_out_margin",
        "training_margin",
        "loss",
    }
    frozen = {row.checkpoint.snapshot.content_hash for row in shown.outcomes if row.checkpoint}
    assert len(frozen) == 1  # all runs of a study on imported pairs train on the same rows

    plot = lead.get(reverse("study", args=[study.pk])).context["plot"]
    assert [line["label"] for line in plot["series"]] == ["Sr-DPO", "Sr-IPO"]
    assert [point["x"] for point in plot["series"][0]["points"]] == [0, 0.3]

    text = lead.get(reverse("study-csv", args=[study.pk])).content.decode()
    heading, *rows = csv.reader(io.StringIO(text))
    assert heading[3:5] == ["training.lam", "training.loss"]
    at = heading.index("held_out_margin")
    assert [float(row[at]) for row in rows] == [row.measures["held_out_margin"] for row in shown.outcomes]
