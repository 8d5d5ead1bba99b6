"""The parser of judgements: each rule, and no exception on any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import judges
from training.domain.judging import average, parse_score, parse_verdict, rationale
from training.domain.rows import JudgementSample


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Score: 4", 4),
        ("Useful.\n\nScore: 0", 0),
        ("Score: 5/5", 5),
        ("Score: 4 / 5", 4),
        ("Total score: 3 out of 5", 3),
        ("Score: 3 of 5 points", 3),
        ("Score: 4 out of five", 4),
        ("**Score:** 4", 4),
        ("**Score**: **4**/5", 4),
        ("Final Score - **4.5**", 4.5),
        ("score - 3.5", 3.5),
        ("score – 2", 2),
        ("SCORE : 2", 2),
        ("Score = 1", 1),
        ("The score is 3.", 3),
        ("I give it a score of 5 because it is right.", 5),
        ("Score 4", 4),
        ("Score:\n5", 5),
        ("Score (out of 5): 4", 4),
        ('{"score": 4}', 4),
        ("total_score=3", 3),
        ("Score: <3>", 3),
        ("Score: 4, because it is right", 4),
        ("Score: 4.", 4),
        ("Score: .5", 0.5),
        ("Score: +4", 4),
        ("Score: 5 points - three of them for style", 5),
    ],
)
def test_a_stated_score_is_read(reply: str, score: float) -> None:
    assert parse_score(reply) == score


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "4",
        "5/5",
        "I would award four points.",
        "Score: four",
        "Score: ★★★★",
        "Score: nan",
        "Score: inf",
        "Score: <total points>",
        "Score: N/A",
        "The 5-point scoring system was used.",
        "score of a 5-point scale",
        "This was the 4th score: 4th",
        "Score: 1e0",
        "Score: 4.5.2",
        "Rating: 4",
        "underscore 4",
        "Scores: 4",
        "Score: ４",
    ],
)
def test_what_is_not_a_number_after_the_word_score_is_unparsed(reply: str) -> None:
    assert parse_score(reply) is None


@pytest.mark.parametrize(
    "reply",
    ["Score: 7", "Score: 5.01", "Score: -1", "Score: −2", "Score: 100", "Score: 80%", "Score: 4,5", "Score: 3-4",
     "Score: 3 to 4", "Score: 3–4", "Score: 4/10", "Score: 8 out of 10", "Score: 4/100", "Score: " + "9" * 400],
)  # fmt: skip
def test_an_invalid_number_is_unparsed(reply: str) -> None:
    assert parse_score(reply) is None


def test_the_last_of_several_scores_counts() -> None:
    assert parse_score("A score of 5 would need more. Score: 2 at first, but in the end Score: 3") == 3


def test_a_last_number_outside_the_scale_is_not_replaced_by_an_earlier_one() -> None:
    assert parse_score("Score: 4\nScore: 9") is None


def test_a_repeated_template_after_the_score_is_ignored() -> None:
    assert parse_score('Score: 4\n\nI used the format: "Score: <total points>"') == 4


def test_the_judge_prompt_itself_has_no_score() -> None:
    assert parse_score(judges.get("additive_5").prompt) is None


@given(st.text())
def test_any_text_gives_a_score_in_range_or_none(text: str) -> None:
    score = parse_score(text)
    assert score is None or 0 <= score <= 5


@given(st.text(alphabet="score :-*/.0123456789()of tal%\n", max_size=80))
def test_text_made_of_the_parts_of_a_score_never_fails(text: str) -> None:
    score = parse_score(text)
    assert score is None or 0 <= score <= 5


@given(st.integers(0, 50))
def test_every_tenth_from_0_to_5_parses(tenths: int) -> None:
    assert parse_score(f"Good.\nScore: {tenths / 10}") == tenths / 10


def test_a_long_reply_is_read_in_linear_time() -> None:
    assert parse_score("score " * 100_000 + "Score: 3") == 3


def test_the_rationale_is_the_text_before_the_score() -> None:
    assert rationale("Clear and right.\n\n**Total Score:** 4") == "Clear and right."
    assert rationale("No number at all") == "No number at all"


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("The first is vague. Verdict: second", "second"),
        ("Verdict: **First**", "first"),
        ("**Verdict:** tie.", "tie"),
        ("Verdict: first. On reflection, Verdict: tie", "tie"),
        ("The first is better.", "unparsed"),
        ("Verdict: A", "unparsed"),
        ("Verdict: first, second, tie", "unparsed"),
        ("Verdict: first or second", "unparsed"),
        ("", "unparsed"),
        (judges.get("pairwise").prompt, "unparsed"),
    ],
)
def test_a_verdict_is_read_only_from_its_line(reply: str, verdict: str) -> None:
    assert parse_verdict(reply) == verdict


@given(st.text())
def test_any_text_gives_a_verdict(text: str) -> None:
    assert parse_verdict(text) in ("first", "second", "tie", "unparsed")


def _samples(*scores: float | None) -> list[JudgementSample]:
    return [JudgementSample("", score, seed) for seed, score in enumerate(scores)]


def test_the_average_is_over_the_samples_that_parsed() -> None:
    assert average(_samples(4, None, 2)) == (3, 1)


def test_unparsed_judgements_have_no_mean() -> None:
    assert average(_samples(None, None)) == (None, None)
    assert average([]) == (None, None)


@pytest.mark.parametrize(
    ("reply", "cut", "score"),
    [
        ("It is relevant, so it has score: 1. It also answers most, so score: 2. Next I", True, None),
        ("Good. Score: 4", True, None),
        ("Good. Score: 4", False, 4),
        ("<think>It is on topic, so maybe score: 1. However", False, None),
        ("<think>hm, Score: 1?</think>\nGood answer. Score: 4", False, 4),
        ("<think>Score: 3</think>Good answer.", False, None),
        ("hm, Score: 1?</think>Score: 2", False, 2),
        ('It quotes "<think>". Score: 2', False, 2),
    ],
)
def test_a_reply_that_was_cut_or_still_thinks_has_no_score(reply: str, cut: bool, score: float | None) -> None:
    reading = judges.get("additive_5").read(reply, cut=cut)
    assert reading.score == score
    if reading.place:
        assert reply[slice(*reading.place)].startswith("Score")
    assert "<think>" not in judges.get("additive_5").rationale("<think>a</think>b Score: 2")
