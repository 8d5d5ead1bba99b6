"""Parsing of many judge replies, each with the intended score or verdict, and of arbitrary text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.domain.judging import parse_score, parse_verdict

PLAIN = {
    "Score: 0": 0, "Score: 1": 1, "Score: 2": 2, "Score: 3": 3, "Score: 4": 4, "Score: 5": 5,
    "score: 0": 0, "score: 5": 5, "SCORE: 1": 1, "sCoRe: 2": 2, "Score:3": 3, "Score :4": 4, "Score : 5": 5,
    "Score=2": 2, "Score = 3": 3, "Score - 1": 1, "Score – 4": 4, "Score — 5": 5, "Score： 3": 3,
    "Score is 2": 2, "Score of 4": 4, "Score was 3": 3, "Score 1": 1, "  Score: 2  ": 2, "\n\nScore: 5\n\n": 5,
    "Score:\t4": 4, "Score:\n3": 3, "Score: 2\r\n": 2, "Score: 0.": 0, "Score: 4!": 4, "Score: 3;": 3,
}  # fmt: skip
FRACTIONS = {
    "Score: 0.5": 0.5, "Score: 1.5": 1.5, "Score: 2.25": 2.25, "Score: 3.75": 3.75, "Score: 4.0": 4, "Score: 5.0": 5,
    "Score: 4.99": 4.99, "Score: .25": 0.25, "Score: 0.0": 0, "Score: 05": 5, "Score: 3.50": 3.5, "Score: +2": 2,
    "Score: +0.5": 0.5, "Score - 3.5": 3.5, "The score is 4.5.": 4.5, "score = 1.25": 1.25, "Score: 2.5/5": 2.5,
}  # fmt: skip
SCALES = {
    "Score: 0/5": 0, "Score: 1/5": 1, "Score: 5/5": 5, "Score: 3 / 5": 3, "Score: 4 /5": 4, "Score: 2/ 5": 2,
    "Score: 3 out of 5": 3, "Score: 4 of 5": 4, "Score: 2 OUT OF 5": 2, "Score: 3.5 out of 5": 3.5,
    "Score: 4/5.0": 4, "Score: 1 out of 5 points": 1, "Score: 3 points": 3, "Score: 1 point": 1,
    "Score (out of 5): 2": 2, "Score (0-5): 3": 3, "Score (0 to 5): 4": 4, "Score (max 5): 1": 1,
    "Score (of 5): 5": 5, "Score (out of 5 points): 0": 0, "Score: 4/5, well done": 4, "Score: 5/5.": 5,
}  # fmt: skip
MARKUP = {
    "**Score:** 4": 4, "**Score**: 3": 3, "**Score: 2**": 2, "*Score:* 5": 5, "_Score_: 1": 1, "`Score: 0`": 0,
    "**Score:** **3**": 3, "**Score:** 4/5": 4, "**Score: 5/5**": 5, "## Score: 2": 2, "### Score\n4": 4,
    "> Score: 3": 3, "- Score: 1": 1, "Score: [4]": 4, "Score: <2>": 2, "Score: (3)": 3, 'Score: "5"': 5,
    "Score: '1'": 1, "Score: `4`": 4, "Score: $3$": 3, '"score": 2': 2, '{"score": 3.5}': 3.5, "{'score': 1}": 1,
    '{"reason": "clear", "score": 4}': 4, "<score>5</score>": 5, "Score: *2*": 2, "Score: **4** / 5": 4,
}  # fmt: skip
NAMED = {
    "Total score: 3": 3, "Final score: 4": 4, "Overall score: 2": 2, "My score: 5": 5, "total_score: 1": 1,
    "Total Score - 4": 4, "The final score is 3.": 3, "I give a score of 2.": 2, "It earns a score of 0 in the end.": 0,
    "A score of 4 is right.": 4, "My score is 5 points.": 5, "The overall score was 1": 1, "Its score = 3": 3,
    "Helpful and complete, so the score is 4/5": 4, "Final Score: **5**": 5, "Final score – 2.5": 2.5,
    "Total score: 4 (one point for each of the first four)": 4, "Score: 3 because it wanders": 3,
}  # fmt: skip
LAST = {
    "Score: 2\nScore: 4": 4, "Score: 5. No: Score: 1": 1, "At first score: 3, then score: 3.5": 3.5,
    "A score of 5 would need examples. Score: 3": 3, "Score: 9\nScore: 4": 4, "Score: 4/10, so Score: 2": 2,
    "Score: 3\nThe score reflects its clarity.": 3, "Score: 4\nScore: <total points>": 4, "Score: 2\nScore: four": 2,
    "Score: 1\nThe 5-point score is done.": 1, "Score: 5 5 5": 5, "Score: 4\n5 stars": 4,
    "Score: 0\n10/10 otherwise": 0,
    "1 point for relevance, 1 for coverage. Score: 2": 2, "1+1+1 = 3. Score: 3": 3,
    "Score: 4\nI hope that this helps.": 4,
}  # fmt: skip
NO_NUMBER = (
    "", " ", "\n", "Score", "Score:", "Score: ", "score: none", "Score: null", "Score: nan", "Score: NaN", "Score: inf",
    "Score: -inf", "Score: infinity", "Score: zero", "Score: three", "Score: Five out of five", "Score: V",
    "Score: ★★★",
    "Score: ⭐⭐⭐⭐", "Score: ③", "Score: ４", "Score: ٣", "Score: ½", "Score: x",
    "Score: N/A", "Score: ?", "Score: __",
    "Score: <total points>", "Score: [your score]", "Score: A+", "Score: high", "Score: pending", "Score: 4th",
    "Score: 5-point", "Score: 1e0", "Score: 4.5.2", "Score: 0x5", "Score: 3rd", "Score: 5stars",
)  # fmt: skip
NO_LABEL = (
    "4", "5/5", "3 out of 5", "Rating: 4", "Grade: 5", "Points: 3", "Mark: 2", "Total: 4", "I award 4 points.",
    "Scores: 4",
    "Scored: 4", "Scoring: 3", "underscore: 5", "scoreboard: 2", "Sc0re: 4", "S c o r e: 4", "Punkte: 3", "评分：4",
    "The answer is 4.", "A very good response.", "I cannot judge this.", "4 :score",
)  # fmt: skip
OUTSIDE = (
    "Score: 6", "Score: 10", "Score: 5.1", "Score: 5.0001", "Score: 100", "Score: 99999999999999999999", "Score: -1",
    "Score: -0.5", "Score: −3", "Score: 80%", "Score: 4 %", "Score: 4,5", "Score: 3-4", "Score: 3 - 4", "Score: 3–4",
    "Score: 3 to 4", "Score: 4/10", "Score: 4/100", "Score: 3 out of 10", "Score: 2 of 4", "Score: 5/6", "Score: 0/0",
    "Score: 4\nScore: 7", "Score: 3\nFinal score: 8/10", "Score: 5\nScore: -2",
)  # fmt: skip

READ = {"plain": PLAIN, "fractions": FRACTIONS, "scales": SCALES, "markup": MARKUP, "named": NAMED, "last stands": LAST}
UNPARSED = {"no number": NO_NUMBER, "no label": NO_LABEL, "outside": OUTSIDE}

VERDICTS = {
    "Verdict: first": "first", "Verdict: second": "second", "Verdict: tie": "tie", "VERDICT: FIRST": "first",
    "verdict = tie": "tie", "**Verdict:** second": "second", "Verdict: **tie**": "tie", "Verdict: [first]": "first",
    "Verdict: second.\nIt is clearer.": "second", "Verdict: first\nVerdict: second": "second",
    "Verdict： tie": "tie", "Verdict:\nfirst": "first", '{"verdict": "second"}': "second", "verdict first": "unparsed",
    "Verdict:": "unparsed", "Verdict: third": "unparsed", "Verdict: 1": "unparsed", "Verdict: B": "unparsed",
    "Verdict: firstly": "unparsed", "Verdict: neither": "unparsed", "Verdict: first/second/tie": "unparsed",
    "Verdict: first | second": "unparsed", "The second one wins.": "unparsed", "Score: 4": "unparsed",
}  # fmt: skip


def test_there_are_at_least_two_hundred_different_replies() -> None:
    replies = [reply for group in (*READ.values(), *UNPARSED.values()) for reply in group]
    assert len(replies) == len(set(replies)) >= 200


@pytest.mark.parametrize(
    ("reply", "score"), [(reply, score) for group in READ.values() for reply, score in group.items()]
)
def test_a_reply_with_a_score_parses(reply: str, score: float) -> None:
    assert parse_score(reply) == score


@pytest.mark.parametrize("reply", [reply for group in UNPARSED.values() for reply in group])
def test_a_reply_without_a_score_from_0_to_5_is_unparsed(reply: str) -> None:
    assert parse_score(reply) is None


@pytest.mark.parametrize("score", [0, 2.5, 5])
@pytest.mark.parametrize(
    "before", ["", "The answer is clear.\n\n", "1. Relevant: yes\n2. Complete: no\n", "Note: 7 of 9.\n"]
)
def test_text_before_a_score_does_not_change_it(before: str, score: float) -> None:
    assert parse_score(f"{before}Score: {score}") == score


@pytest.mark.parametrize(("reply", "verdict"), VERDICTS.items())
def test_a_verdict_is_read_from_its_line(reply: str, verdict: str) -> None:
    assert parse_verdict(reply) == verdict


PARTS = (
    "score", "Score:", "SCORE", "verdict:", "first", "second", "tie", "or", "of", "out of", "is", "/5", "/10", "(0-5)",
    "**",
    "<", "$", "[", "-", "−", "–", "+", ".", ",", "%", "0", "5", "4.5", "6", "9" * 400, "1e9", "nan", "４", "\u0000",
    "\ud800", "\u202e", "\n", "\t", " ", "é", "İ",
)  # fmt: skip


@given(
    st.text()
    | st.lists(st.sampled_from(PARTS), max_size=30).map("".join)
    | st.lists(st.sampled_from(PARTS)).map(" ".join)
)
def test_no_text_raises_and_a_score_lies_between_0_and_5(text: str) -> None:
    score = parse_score(text)
    assert score is None or 0 <= score <= 5
    assert parse_verdict(text) in ("first", "second", "tie", "unparsed")
