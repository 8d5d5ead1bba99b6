"""The stylesheet: complete, public, and cached by browsers until it changes."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from alignment_app.stylesheet import FILES, stylesheet
from alignment_app.views.stylesheet import FOR_EVER

pytestmark = pytest.mark.django_db


def test_every_file_of_the_folder_is_part_of_it() -> None:
    assert sorted(FILES) == sorted(path.stem for path in (settings.BASE_DIR / "static" / "css").glob("*.css"))


def test_a_page_without_a_login_loads_it_and_may_keep_it(client: Client) -> None:
    text, digest = stylesheet()
    address = reverse("stylesheet", args=[digest])
    assert f'<link rel="stylesheet" href="{address}">' in client.get(reverse("login")).content.decode()
    response = client.get(address)
    assert (response.status_code, response["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert response["Cache-Control"] == FOR_EVER
    assert response.content.decode() == text


def test_the_address_of_another_version_is_answered_and_not_kept(client: Client) -> None:
    response = client.get(reverse("stylesheet", args=["0123456789abcdef"]))
    assert (response.status_code, response["Cache-Control"]) == (200, "no-cache")


def test_the_files_that_it_names_are_served() -> None:
    names = re.findall(r'url\("/static/([^"]+)"\)', stylesheet()[0])
    assert len(names) == 3
    assert [name for name in names if finders.find(name) is None] == []
