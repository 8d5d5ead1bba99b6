"""Whatever is sent, no door makes a run or half a data set. Models are imported inside: Django loads afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client
    from rest_framework.test import APIClient


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    from tests.support.launchable import small_config

    return small_config(tmp_path)


@pytest.fixture
def nothing_made(config: dict[str, Any]) -> Iterator[None]:
    """Whatever is sent, there is no run afterwards and the data sets are as they were."""
    from alignment_app.models import Dataset, Prompt, Run

    before = (Dataset.objects.count(), Prompt.objects.count())
    yield
    assert not Run.objects.exists()
    assert (Dataset.objects.count(), Prompt.objects.count()) == before


@pytest.fixture
def lead() -> Client:
    from django.test import Client

    from tests.support.people import person

    client = Client()
    client.force_login(person("lead"))
    return client


@pytest.fixture
def api() -> APIClient:
    from rest_framework.authtoken.models import Token
    from rest_framework.test import APIClient

    from tests.support.people import person

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=person('admin')).key}")
    return client
