"""All entry points launch the same config: form, YAML, the displayed command and the API."""

from __future__ import annotations

import re
import shlex
from html import unescape
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.authtoken.models import Token

from alignment_app.models import Run
from alignment_app.services.imports import import_rows
from tests.support.people import person
from training.config import RunConfig, preset_data, with_overrides

PRESET = "smollm2-135m-first-run"
CHANGES = {
    "name": "Löwe & \"Co\" <b> 'one'",
    "seed": "7",
    "training.beta": "0.25",
    "training.learning_rate": "3e-06",
    "candidates.top_p": "0.95",
    "prompts.count": "2",
}


class FormReader(HTMLParser):
    """Return the form data of a page, as a browser would send it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sent: dict[str, list[str]] = {}
        self._select = self._area = ""
        self.feed(text)

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in pairs}
        name = attributes.get("name", "")
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in attributes:
            self.sent.setdefault(self._select, []).append(attributes["value"])
        elif tag == "textarea" and name:
            self._area = name
            self.sent[name] = [""]
        elif tag == "input" and name and attributes.get("type") not in ("submit", "button", "file"):
            if attributes.get("type") in ("checkbox", "radio") and "checked" not in attributes:
                return
            self.sent.setdefault(name, []).append(attributes.get("value", "on"))

    def handle_data(self, data: str) -> None:
        if self._area:
            self.sent[self._area][0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""


def newest_hash() -> str:
    run = Run.objects.latest("pk")
    assert RunConfig.parse(run.config).config_hash == run.config_hash
    return run.config_hash


@pytest.mark.django_db
def test_form_yaml_command_and_api_launch_one_and_the_same_config(client: Client, tmp_path: Path) -> None:
    for name in ("first-prompts", "first-prompts-test"):
        import_rows(name, "prompts", [{"prompt": f"What is {number} and one?"} for number in range(5)])
    lead = person()
    client.force_login(lead)

    # The form, with some changed fields.
    page = client.get(reverse("launch"), {"preset": PRESET}).content.decode()
    sent: dict[str, Any] = FormReader(page).sent | CHANGES
    answer = client.post(reverse("launch"), sent)
    assert answer.status_code == 302, re.findall(r'class="[^"]*problem[^"]*">([^<]+)', answer.content.decode())
    run = Run.objects.latest("pk")
    by_form = newest_hash()
    assignments = [
        f"{path}={value if path != 'name' else repr(value)}" for path, value in CHANGES.items() if path != "name"
    ]
    expected = RunConfig.parse(with_overrides(preset_data(PRESET), assignments) | {"name": CHANGES["name"]})
    assert RunConfig.parse(run.config) == expected

    # Its YAML, from the run's page, with the command.
    document = tmp_path / "run.yaml"
    document.write_bytes(client.get(f"/runs/{run.pk}/config.yaml").content)
    call_command("launch", str(document), stdout=StringIO())
    by_yaml = newest_hash()

    # The command shown beside the form.
    side = client.post("/runs/new/check/", sent).content.decode()
    shown = re.search(r"python manage\.py launch --preset [^<]+", side)
    assert shown is not None
    call_command(*shlex.split(unescape(shown[0]).replace("\\\n", " "))[2:], stdout=StringIO())
    by_command = newest_hash()
    assert Run.objects.latest("pk").name == CHANGES["name"]

    # The API, with the complete config and with the YAML document.
    token = {"HTTP_AUTHORIZATION": f"Token {Token.objects.get_or_create(user=lead)[0].key}"}
    api = Client(**token)  # type: ignore[arg-type]
    made = api.post("/api/v1/runs/", {"config": run.config}, content_type="application/json")
    assert made.status_code == 201, made.content
    by_api = newest_hash()
    made = api.post("/api/v1/runs/", {"yaml": document.read_text(encoding="utf-8")}, content_type="application/json")
    assert made.status_code == 201, made.content

    assert {by_form, by_yaml, by_command, by_api, newest_hash()} == {expected.config_hash}
    assert Run.objects.count() == 5
