"""Import: accepted and refused files, reasons, no duplicates and no partial imports."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from alignment_app.models import Dataset, Judgement, PreferencePair, Prompt, Response
from alignment_app.services import import_formats
from alignment_app.services.import_formats import BadLine, ImportRefused, read_records
from alignment_app.services.imports import BadLines, import_rows, preview

pytestmark = pytest.mark.django_db


def lines(*rows: Any) -> io.BytesIO:
    return io.BytesIO("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode())


def counts() -> tuple[int, int, int, int]:
    return Prompt.objects.count(), Response.objects.count(), Judgement.objects.count(), PreferencePair.objects.count()


def test_the_seed_tasks_become_prompts_with_their_input(real_data: Path) -> None:
    report = import_rows("seeds", "prompts", real_data / "self_instruct_seeds.jsonl", source="seed")
    assert (report.added, report.repeated, report.bad) == (175, 0, [])
    antonym = Prompt.objects.get(meta__id="seed_task_1")
    assert antonym.messages[0]["content"].startswith("What is the relation between the given pairs?\n\n")
    assert antonym.text == antonym.messages[0]["content"]
    assert antonym.source == "seed"
    assert antonym.position == 1


def test_the_same_file_twice_adds_nothing(real_data: Path) -> None:
    for name, kind, judges in (
        ("alpaca_ift_3200.jsonl", "demonstrations", {}),
        ("eft_scores_200.jsonl", "scored", {"self": "M1", "teacher": "gemini", "reference": "gpt"}),
        ("hh_rlhf_train.jsonl", "preferences", {}),
    ):
        first = import_rows(kind, kind, real_data / name, judges=judges)
        before = counts()
        second = import_rows(kind, kind, real_data / name, judges=judges)
        assert first.added > 0
        assert (second.added, second.repeated) == (0, first.added + first.repeated)
        assert counts() == before
        assert Dataset.objects.get(name=kind).source_hash == first.dataset.source_hash  # type: ignore[union-attr]


def test_a_repeated_import_asks_the_database_by_the_chunk(django_assert_max_num_queries: Any) -> None:
    rows = [{"prompt": f"prompt {n}", "response": "r"} for n in range(400)]
    import_rows("set", "demonstrations", rows)
    with django_assert_max_num_queries(12):
        assert import_rows("set", "demonstrations", rows).repeated == 400


def test_alpaca_rows_become_prompts_with_one_target_each(real_data: Path) -> None:
    report = import_rows("alpaca", "demonstrations", real_data / "alpaca_ift_3200.jsonl")
    assert report.added == 3200
    assert counts() == (3200, 3200, 0, 0)
    response = Response.objects.select_related("prompt").get(prompt__meta__row=3156)
    assert (response.purpose, response.source, response.iteration_id) == ("target", "imported", None)
    assert (
        response.prompt.text == "Generate an example of creative writing about the given topic.\n\nThe beauty of autumn"
    )


def test_scores_of_several_judges_keep_unparsed_apart_from_missing(real_data: Path) -> None:
    judges = {"self": "M2", "teacher": "gemini", "reference": "gpt"}
    report = import_rows("eft", "scored", real_data / "eft_scores_200.jsonl", judges=judges)
    assert report.added == 200
    assert counts()[:2] == (200, 800)
    own = Judgement.objects.filter(source="self", judge__label="M2")
    assert (own.count(), own.filter(score=None).count()) == (800, 627)
    unparsed = own.filter(score=None).first()
    assert unparsed is not None
    assert unparsed.samples == [{"raw": "", "score": None, "seed": None}]
    assert (unparsed.sample_count, unparsed.parsed_count, unparsed.spread) == (1, 0, None)
    teacher = Judgement.objects.filter(source="teacher")
    assert (teacher.count(), teacher.filter(score=None).count()) == (796, 2)  # 4 scores are missing: no judgement


def test_another_judge_can_be_added_to_the_same_responses_later(real_data: Path) -> None:
    import_rows("eft", "scored", real_data / "eft_scores_200.jsonl", judges={"self": "M1"})
    report = import_rows("eft", "scored", real_data / "eft_scores_200.jsonl", judges={"teacher": "gemini"})
    assert (report.added, report.repeated) == (199, 1)  # one prompt has no score by gemini
    assert counts() == (200, 800, 800 + 796, 0)


@pytest.mark.parametrize("name", ["hh_rlhf_train.jsonl", "hh_rlhf_raw_500.jsonl"])
def test_preference_pairs_are_read_parsed_or_in_the_published_raw_form(real_data: Path, name: str) -> None:
    report = import_rows("hh", "preferences", real_data / name, keep_good=True)
    assert report.added >= 490
    pair = PreferencePair.objects.select_related("prompt", "chosen", "rejected").order_by("id")[0]
    assert (pair.origin, pair.iteration_id, pair.margin) == ("imported", None, None)
    assert pair.prompt.messages[-1] == {"role": "user", "content": "me too"}
    assert pair.chosen.text.startswith("Yes, we agree!")
    assert not pair.chosen.text.startswith("\n")


def test_ranked_responses_keep_the_people_s_ranks(real_data: Path) -> None:
    report = import_rows("oasst", "prompts", real_data / "oasst_ranked_100.jsonl")
    assert report.added == 100
    found = import_rows(
        "ranked", "scored", [{"prompt": "p", "responses": [{"text": "a", "rank": 2}, {"text": "b", "rank": 1}]}]
    )
    assert found.added == 1
    assert Prompt.objects.get(dataset__name="ranked").meta["ranks"] == [2.0, 1.0]


def test_miniature_rows_keep_their_weights_and_raw_text_has_no_messages() -> None:
    rows = [
        {"messages": [{"role": "user", "content": "Judge this."}], "completion": "Score: 4", "weights": [[7, 8, 3.0]]},
        {"messages": [], "completion": "A document of the world.", "weights": []},
        {"messages": [], "completion": "Another document.", "weights": []},
    ]
    assert import_rows("mini", "demonstrations", rows).added == 3
    judged, raw, _ = Prompt.objects.order_by("position")
    assert judged.responses.get().weights == [[7, 8, 3.0]]
    assert (raw.messages, raw.responses.get().text) == ([], "A document of the world.")
    assert import_rows("mini", "demonstrations", rows).repeated == 3


def test_a_chat_that_ends_with_the_assistant_is_prompt_and_target() -> None:
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    import_rows("chats", "demonstrations", [{"messages": chat}])
    response = Response.objects.get()
    assert (response.text, response.prompt.messages) == ("Hello.", chat[:1])


def test_a_conversational_pair_in_trl_form_comes_back_in() -> None:
    user = {"role": "user", "content": "Hi"}
    pair = {
        "prompt": [user],
        "chosen": [{"role": "assistant", "content": "Hello."}],
        "rejected": [{"role": "assistant", "content": "Go away."}],
    }
    implicit = {"chosen": [user, *pair["chosen"]], "rejected": [user, *pair["rejected"]]}
    report = import_rows("pairs", "preferences", [pair, implicit])
    assert (report.added, report.repeated) == (1, 1)


def test_two_responses_to_one_prompt_share_the_prompt() -> None:
    report = import_rows("two", "demonstrations", [{"prompt": "p", "response": "a"}, {"prompt": "p", "response": "b"}])
    assert report.added == 2
    assert list(Response.objects.values_list("index", "text")) == [(0, "a"), (1, "b")]
    assert Prompt.objects.count() == 1


def test_a_mapping_names_the_fields_of_an_unknown_shape() -> None:
    rows = [{"q": {"body": "Why?"}, "answers": [{"said": "So.", "marks": {"anna": 4, "ben": -1}}]}]
    mapping = {"prompt": "q.body", "responses": "answers", "text": "said", "scores": "marks"}
    import_rows("own", "scored", rows, mapping=mapping, judges={"human": "anna", "self": "ben"})
    assert Prompt.objects.get().text == "Why?"
    assert sorted(Judgement.objects.values_list("source", "judge__label", "score")) == [
        ("human", "anna", 4.0),
        ("self", "ben", None),
    ]


def test_a_table_and_its_parquet_twin_give_the_same_rows(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.table(
        {"prompt": ["a\nb", 'say "hi"', "Grüße"], "response": ["x", "y, z", "ja"], "mark": [1.5, None, -1]}
    )
    pyarrow.csv.write_csv(table, tmp_path / "rows.csv")
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(json.dumps(table.to_pylist(), indent=1))
    found = {}
    for suffix in ("csv", "parquet", "json"):
        import_rows(suffix, "scored", tmp_path / f"rows.{suffix}", judges={"teacher": "mark"})
        mine = Prompt.objects.filter(dataset__name=suffix)
        found[suffix] = list(mine.values_list("text", "responses__text", "responses__judgements__score"))
    assert found["csv"] == found["parquet"] == found["json"]
    assert found["csv"][1] == ('say "hi"', "y, z", None)
    assert Judgement.objects.count() == 6  # an empty cell gives no judgement


def test_a_bad_line_is_named_and_nothing_is_stored() -> None:
    file = lines({"prompt": "good"}, "{broken", {"prompt": ""}, {"prompt": "fine"})
    with pytest.raises(BadLines, match=r"line 2 is not valid JSON at column 2 .* and 1 more") as caught:
        import_rows("some", "prompts", file)
    assert caught.value.report.bad[1] == (3, "prompt is empty")
    assert not Dataset.objects.exists()
    assert not Prompt.objects.exists()


def test_the_good_lines_are_kept_when_asked() -> None:
    file = lines({"prompt": "good"}, "{broken", {"prompt": "fine"})
    report = import_rows("some", "prompts", file, keep_good=True)
    assert (report.added, report.bad_count) == (2, 1)
    assert report.sentence() == "2 rows added, 1 left out"


def test_an_import_that_dies_midway_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Any:
        for number in range(1200):
            yield {"prompt": f"prompt {number}"}
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="disk"):
        import_rows("some", "prompts", rows())
    assert not Dataset.objects.exists()
    assert not Prompt.objects.exists()


def test_byte_order_marks_and_utf16_are_read() -> None:
    text = '{"prompt": "Grüße"}\n'
    for number, encoding in enumerate(("utf-8-sig", "utf-16", "utf-8")):
        import_rows(f"set {number}", "prompts", io.BytesIO(text.encode(encoding)))
    assert set(Prompt.objects.values_list("text", flat=True)) == {"Grüße"}


def test_a_line_that_is_not_utf8_is_named_alone() -> None:
    file = io.BytesIO(b'{"prompt": "good"}\n{"prompt": "gr\xfc\xdfe"}\n')
    report = import_rows("some", "prompts", file, keep_good=True)
    assert report.bad == [(2, "prompt is not valid UTF-8 text; save the file as UTF-8")]


def test_a_preview_stores_nothing_and_says_how_the_file_is_read(real_data: Path) -> None:
    shown = preview(real_data / "eft_scores_200.jsonl", judges={"self": "M1"})
    assert (shown.kind, shown.good, len(shown.rows)) == ("scored", 200, 5)
    assert shown.mapping == {"prompt": "prompt", "responses": "responses"}
    assert set(shown.score_columns) == {"gpt", "gemini", "M1", "M2"}
    assert counts() == (0, 0, 0, 0)


def test_a_large_array_is_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_formats, "_CHUNK", 7)
    rows = [{"prompt": f"número {n}", "n": n, "inner": [n, {"a": "]"}]} for n in range(50)]
    text = json.dumps(rows, indent=2, ensure_ascii=False).encode()
    assert [record for _, record in read_records(io.BytesIO(text))] == rows


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[1, 2", "is not an object"),
        (b'[{"a": 1}, {"b": ', "not valid JSON"),
        (b'[{"a": 1}', "not closed"),
    ],
)
def test_a_cut_off_array_says_so(content: bytes, reason: str) -> None:
    bad = [record.reason for _, record in read_records(io.BytesIO(content)) if isinstance(record, BadLine)]
    assert any(reason in text for text in bad)


def test_a_line_beyond_the_limit_is_refused_and_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_formats, "MAX_ROW", 64)
    file = lines({"prompt": "x" * 500}, {"prompt": "short"})
    report = import_rows("some", "prompts", file, keep_good=True)
    assert report.added == 1
    assert report.bad[0][0] == 1


def test_a_data_set_of_another_kind_is_not_mixed_with() -> None:
    import_rows("some", "prompts", [{"prompt": "p"}])
    with pytest.raises(ImportRefused, match="choose another name"):
        import_rows("some", "demonstrations", [{"prompt": "p", "response": "r"}])


def test_scores_without_a_named_judge_are_not_guessed_at(real_data: Path) -> None:
    with pytest.raises(ImportRefused, match=r"Name the judge of the scores.*gpt, gemini, M1, M2"):
        import_rows("eft", "scored", real_data / "eft_scores_200.jsonl")
    with pytest.raises(ImportRefused, match="No row has a score of 'claude'"):
        import_rows("eft", "scored", real_data / "eft_scores_200.jsonl", judges={"self": "claude"})
    assert not Dataset.objects.exists()
