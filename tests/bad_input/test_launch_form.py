"""What is typed or uploaded wrong on the pages: said in place, nothing launched."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from alignment_app.models import Run
from tests.support.documents import DOCUMENTS
from tests.support.launchable import sent_form

pytestmark = pytest.mark.django_db
NUL = "\x00"


TYPED = {
    "no name": {"name": ""},
    "letters for a number": {"seed": "many"},
    "an endless number": {"training.beta": "1e999"},
    "not a number": {"training.beta": "nan"},
    "a comma for a point": {"training.beta": "0,1"},
    "a huge number": {"iterations": "9" * 5000},
    "a value that no list has": {"paradigm": "magic"},
    "a NUL in the name": {"name": f"a{NUL}b"},
    "a line break in the name": {"name": "a\nb"},
    "a data set that is not there": {"prompts.dataset": "nowhere"},
    "a model that is not there": {"student.model": "/nowhere"},
    "YAML in a number": {"iterations": "[1, 2]"},
    "an unknown preset and clone": {"name": "", "preset": "../../etc/passwd", "clone": "9" * 30},
}


@pytest.mark.parametrize("name", TYPED)
def test_what_is_typed_wrong_in_the_form_is_said_in_place(
    name: str, config: dict[str, Any], lead: Client, nothing_made: None
) -> None:
    for address in ("launch-check", "launch"):
        answer = lead.post(reverse(address), sent_form(config) | TYPED[name])
        assert answer.status_code in (200, 400, 422), answer.status_code
        assert b"Traceback" not in answer.content
    assert answer.status_code == 422
    assert b"wrong" in answer.content


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_bad_document_in_the_form_is_shown_with_its_problem(name: str, lead: Client, nothing_made: None) -> None:
    answer = lead.post(reverse("launch"), {"import": "1", "yaml": DOCUMENTS[name][0]})
    assert answer.status_code == 422
    assert b'class="wrong"' in answer.content


def test_the_form_that_these_tests_spoil_does_launch_unspoilt(config: dict[str, Any], lead: Client) -> None:
    assert lead.post(reverse("launch"), sent_form(config)).status_code == 302
    assert Run.objects.count() == 1


def test_a_file_that_is_no_text_is_refused_by_the_form(lead: Client, nothing_made: None) -> None:
    file = SimpleUploadedFile("run.yaml", b"\xff\xfe\x00\x01")
    answer = lead.post(reverse("launch"), {"import": "1", "file": file})
    assert answer.status_code == 422


PAGES = ("runs", "launch", "checkpoints", "compare", "data", "system")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "query",
    [
        "page=abc", "page=-1", "page=99999999999999999999", "q=%00", "q=%ff%fe", "q=" + "x" * 3000,
        "preset=%00&clone=%00&status=%00&kind=%00", "run=abc&run=99999999999999999999&checkpoint=-1&checkpoint=%00",
        "iteration=%F0%9F%98%80",
    ],
)  # fmt: skip
def test_a_page_with_a_spoilt_address_still_answers(page: str, query: str, lead: Client, nothing_made: None) -> None:
    answer = lead.get(f"{reverse(page)}?{query}")
    assert answer.status_code in (200, 400, 404)


@pytest.mark.parametrize(
    "address",
    ["/runs/99999999999999999999/", "/runs/0/", "/data/99999999999999999999/", "/checkpoints/99999999999999999999/",
     "/runs/1/part/%00/", "/data/import/..%2f..%2fetc%2fpasswd/", "/data/import/%00/", "/runs/1/samples/?iteration=x"],
)  # fmt: skip
def test_an_address_of_nothing_is_not_found(address: str, lead: Client, nothing_made: None) -> None:
    assert lead.get(address).status_code in (302, 400, 404)
