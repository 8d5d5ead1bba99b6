"""Verifiers: what each kind accepts and refuses, the score, time limits, and the maker of constraint prompts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from training.domain.verifiers import helper
from training.domain.verifiers.answers import final_number
from training.domain.verifiers.base import CheckError
from training.domain.verifiers.lengths import count_sentences, count_words
from training.domain.verifiers.making import DRAWN_KINDS, make_constraint_prompts
from training.domain.verifiers.registry import VERIFIERS, describe, read_checks
from training.domain.verifiers.verify import decide, verify

#: Check, a response that passes, and one that fails.
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "words", "at_most": 3}, "one - two three", "one two three four"),
    ({"kind": "words", "at_least": 2}, "one two", "one"),
    ({"kind": "characters", "at_least": 3, "at_most": 3}, " abc ", "abcd"),
    ({"kind": "sentences", "at_least": 2, "at_most": 2}, "One is 1.5. Two!", "One. Two. Three."),
    ({"kind": "paragraphs", "at_least": 2, "at_most": 2}, "one\nstill one\n\ntwo", "one\ntwo"),
    ({"kind": "lines", "at_most": 2}, "one\n\ntwo", "one\ntwo\nthree"),
    ({"kind": "include", "words": ["sea", "moon"]}, "The Moon moves the sea.", "The moonlight and the sea."),
    ({"kind": "exclude", "words": ["sun"]}, "Sunday", "The sun."),
    ({"kind": "keyword_count", "word": "tide", "at_least": 2}, "tide, Tide", "tide, tidal"),
    ({"kind": "letter_count", "letter": "e", "at_most": 1}, "Each way", "Eee"),
    ({"kind": "starts_with", "text": "Sure:"}, " sure: yes", "Yes, sure:"),
    ({"kind": "ends_with", "text": "The end."}, "So. The end.\n", "The end. So"),
    ({"kind": "uppercase"}, "ALL 3 ÜBER", "All"),
    ({"kind": "lowercase"}, "all 3 über", "all Three"),
    ({"kind": "capital_words", "at_least": 1}, "very BIG", "Very big A"),
    ({"kind": "bullets", "at_least": 2, "at_most": 2}, "Two:\n- one\n* two", "- one"),
    ({"kind": "bullets", "at_least": 2}, "1. one\n2) two", "1.5 is\n2.5"),
    ({"kind": "json"}, '```json\n{"a": [1, 2]}\n```', "{'a': 1}"),
    ({"kind": "no_comma"}, "one and two", "one, two"),
    ({"kind": "title"}, "<<Tides>>\nThey come.", "<Tides>"),
    ({"kind": "quotation"}, ' "quoted" ', 'a "quoted" word'),
    ({"kind": "placeholders", "at_least": 2}, "[name] at [place]", "[name]"),
    ({"kind": "highlights", "at_least": 2}, "*one* and **two**", "*one and two"),
    ({"kind": "exact", "answers": ["Paris", "paris, france"]}, " PARIS. ", "It is Paris"),
    ({"kind": "exact", "answers": ["Paris"], "ignore_case": False}, "Paris", "paris"),
    ({"kind": "number", "value": 1234}, "So 12 and 1,234.00 dollars", "1234 and 5"),
    ({"kind": "number", "value": 7}, "9 - 2 #### 7\nI counted 3.", "seven"),
    ({"kind": "number", "value": 3.14, "tolerance": 0.01}, "about 3.145", "3.2"),
    ({"kind": "pattern", "pattern": r"\b\d{4}\b"}, "in 1969", "in 69"),
    ({"kind": "pattern", "pattern": "a.*b", "whole": True, "ignore_case": True}, "A\nB", "xab"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "good", "bad"), CASES)
def test_a_check_tells_right_from_wrong(check: dict[str, Any], good: str, bad: str) -> None:
    (read,) = read_checks([check])
    assert read == check
    for response, wanted in ((good, True), (bad, False)):
        found = verify([read], "prompt", response)
        assert (found.passed, found.score) == (wanted, 5.0 if wanted else 0.0), (response, found.text)
        assert found.results[0].reason
    assert describe(read)


def test_every_kind_has_a_case() -> None:
    assert {check["kind"] for check, _, _ in CASES} | {"function"} == set(VERIFIERS)


@pytest.mark.parametrize("response", ["", "   ", "\x00", "💧" * 9, "#### ", "**", "[", "{" * 50_000, "9" * 5_000])
def test_no_response_breaks_a_check(response: str) -> None:
    verify([check for check, _, _ in CASES], "prompt", response)


def test_an_empty_response_passes_no_check() -> None:
    checks = [check for check, _, _ in CASES if check["kind"] in ("no_comma", "exclude", "words", "pattern")]
    for response in ("", " \n"):
        assert verify(checks, "prompt", response).score == 0


def test_large_numbers_that_differ_by_one_are_different() -> None:
    assert not verify(read_checks([{"kind": "number", "value": 2_880_001}]), "", "#### 2880000").passed
    assert verify(read_checks([{"kind": "number", "value": 0.1 + 0.2}]), "", "0.3").passed


def test_the_score_is_the_share_of_the_points_of_passed_checks() -> None:
    checks = read_checks([{"kind": "no_comma", "points": 3}, {"kind": "uppercase"}])
    found = verify(checks, "", "no capitals")
    assert (found.score, found.passed) == (3.75, False)
    assert [result.as_data()["points"] for result in found.results] == [3, 1]
    better, worse = verify(checks, "", "NO COMMA"), verify(checks, "", "a, b")
    assert [decide(better, found), decide(found, found), decide(worse, found)] == ["win", "tie", "lose"]


BAD: list[Any] = [
    "not json",
    5,
    [5],
    [{"kind": "tone"}],
    [{"at_most": 3}],
    [{"kind": "words"}],
    [{"kind": "words", "at_most": -1}],
    [{"kind": "words", "at_most": 1.5}],
    [{"kind": "words", "at_most": True}],
    [{"kind": "words", "at_least": 5, "at_most": 3}],
    [{"kind": "words", "at_most": 3, "maximum": 4}],
    [{"kind": "include", "words": []}],
    [{"kind": "include", "words": [""]}],
    [{"kind": "letter_count", "letter": "ab", "at_most": 3}],
    [{"kind": "pattern", "pattern": "("}],
    [{"kind": "number", "value": "7"}],
    [{"kind": "number", "value": 7, "tolerance": -1}],
    [{"kind": "function", "name": "is_polite"}],
    [{"kind": "function", "name": "a.b; import os"}],
    [{"kind": "json", "points": 0}],
    [{"kind": "json", "points": "many"}],
    [{"kind": "json"}] * 21,
]


@pytest.mark.parametrize("value", BAD)
def test_invalid_checks_are_refused(value: Any) -> None:
    with pytest.raises(CheckError):
        read_checks(value)


def test_checks_can_be_json_text_or_a_single_object() -> None:
    assert read_checks('{"kind": "json"}') == read_checks([{"kind": "json", "points": 1}]) == [{"kind": "json"}]


def test_words_and_sentences_are_counted_as_documented() -> None:
    assert count_words("well-known — it's 3 …") == 3
    assert count_sentences('He said "Yes!" Then he left... Done') == 3
    assert count_sentences("A title\nA sentence.") == 2
    assert final_number("3, then 4,500 and -2.5e1") == -25


def test_a_pattern_that_takes_forever_fails_in_time_and_the_next_one_works() -> None:
    began = time.monotonic()
    slow = verify(read_checks([{"kind": "pattern", "pattern": "(a+)+$"}]), "", "a" * 40 + "b")
    assert not slow.passed
    assert time.monotonic() - began < 5 * helper.TIME_LIMIT_SECONDS
    assert verify(read_checks([{"kind": "pattern", "pattern": "b$"}]), "", "ab").passed


@pytest.fixture
def my_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of a user, which the worker allows, and a fresh helper process that knows it."""
    (tmp_path / "my_checks.py").write_text(
        "import os, time\n"
        "def polite(prompt, response, word='please'):\n"
        "    print('noise')\n"
        "    return word in response, f'{word} in {len(prompt)} {len(response)}'\n"
        "def plain(prompt, response):\n    return response == prompt\n"
        "def no_keys(prompt, response):\n    return 'GEMINI_API_KEY' not in os.environ\n"
        "def wrong(prompt, response):\n    return 5\n"
        "def broken(prompt, response):\n    raise ValueError('oh')\n"
        "def leaves(prompt, response):\n    os._exit(3)\n"
        "def slow(prompt, response):\n    time.sleep(60)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("GEMINI_API_KEY", "planted")
    monkeypatch.setenv(helper.MODULES_VARIABLE, "other, my_checks")
    monkeypatch.setattr(helper, "_HELPER", helper._Helper())
    monkeypatch.setattr(helper, "FUNCTION_LIMIT_SECONDS", 1.0)


def test_a_users_function_decides_with_a_reason(my_checks: None) -> None:
    def run(name: str, response: str = "x", **arguments: Any) -> tuple[bool, str]:
        check = {"kind": "function", "name": f"my_checks.{name}", **({"arguments": arguments} if arguments else {})}
        (result,) = verify(read_checks([check]), "prompt", response).results
        return result.passed, result.reason

    assert run("polite", "yes please") == (True, "please in 6 10")
    assert run("polite", "yes", word="no") == (False, "no in 6 3")
    assert run("plain", "prompt")[0]
    assert run("no_keys")[0]
    for name in ("wrong", "broken", "leaves", "missing", "slow"):
        passed, reason = run(name)
        assert not passed
        assert f"my_checks.{name}" in reason
    assert run("plain", "prompt")[0]  # a new helper process


def test_a_module_that_the_worker_does_not_allow_is_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(helper.MODULES_VARIABLE, "os.path")
    monkeypatch.setattr(helper, "_HELPER", None)  # nothing may be asked
    (result,) = verify(read_checks([{"kind": "function", "name": "os.system"}]), "p", "r").results
    assert not result.passed
    assert helper.MODULES_VARIABLE in result.reason


# ---------------------------------------------------------------- constraint prompts

INSTRUCTIONS = [f"Explain thing number {number}." for number in range(200)]


def test_constraint_prompts_depend_on_the_seed_and_their_instruction_only() -> None:
    made = list(make_constraint_prompts(INSTRUCTIONS, seed=1))
    assert made == list(make_constraint_prompts(INSTRUCTIONS, seed=1))
    assert made[7:9] == list(make_constraint_prompts(INSTRUCTIONS[7:9], seed=1))
    assert made != list(make_constraint_prompts(INSTRUCTIONS, seed=2))
    assert {check["kind"] for prompt in made for check in prompt.checks} == set(DRAWN_KINDS)


def test_constraint_prompts_ask_for_valid_checks_that_do_not_contradict_each_other() -> None:
    for prompt in make_constraint_prompts(INSTRUCTIONS, seed=3, least=1, most=3):
        assert read_checks(prompt.checks) == prompt.checks
        assert prompt.text.startswith(f"{prompt.instruction}\n\n")
        kinds = [check["kind"] for check in prompt.checks]
        assert 1 <= len(kinds) == len(set(kinds)) <= 3
        for kind in kinds:
            assert not set(VERIFIERS[kind].excludes) & set(kinds) - {kind}
        for check in prompt.checks:
            numbers = [str(value) for value in check.values() if isinstance(value, int)]
            assert all(number in prompt.text for number in numbers)
            for word in check.get("words", []):
                assert f"“{word}”" in prompt.text


@pytest.mark.parametrize(
    "settings", [{"least": 0}, {"least": 3, "most": 2}, {"kinds": []}, {"kinds": ["function"]}, {"kinds": ["tone"]}]
)
def test_a_maker_with_invalid_settings_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        list(make_constraint_prompts(["x"], seed=0, **settings))
