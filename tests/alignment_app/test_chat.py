"""Chat with checkpoints: the page, the questions, and answers by a real model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rq import Queue

from alignment_app.models import Checkpoint, ProviderKey, Run
from alignment_app.services import chat, keys, queues
from alignment_app.services.chat import Answer
from tests.support.stories import config

AsRole = Callable[[str], Client]

TEXT = {"text": "Name three plants.", "temperature": "0.7", "max_tokens": "32"}


@pytest.fixture
def two(transactional_db: None) -> tuple[Checkpoint, Checkpoint]:
    """M0 and M1 of a run."""
    run = Run.objects.create(
        name="talkative", config=config().to_dict(), config_hash="0", paradigm="teacher_reward", status="finished"
    )
    base = Checkpoint.objects.create(run=run, number=0, kind="base", config_hash="0", location="nowhere/m0")
    return base, Checkpoint.objects.create(
        run=run, number=1, kind="sft", config_hash="0", location="nowhere/m1", parent=base
    )


def talk(client: Client, *checkpoints: Checkpoint) -> None:
    query = "&".join(f"checkpoint={checkpoint.pk}" for checkpoint in checkpoints)
    assert client.get(f"{reverse('chat')}?{query}").status_code == 200


def send(client: Client, **changes: str) -> Any:
    return client.post(reverse("chat-send"), TEXT | changes)


def answer_all(text: str = "Ivy, aloe, fern.") -> list[chat.Question]:
    """Answer every waiting question, as a worker would."""
    taken = []
    while question := chat.take_question(0):
        chat.publish_answer(question, Answer("done", text, 5, 0.2))
        taken.append(question)
    return taken


@pytest.mark.django_db
def test_without_a_checkpoint_the_page_says_what_to_do_first(as_role: AsRole, valkey: Any) -> None:
    assert "No checkpoints yet" in as_role("viewer").get(reverse("chat")).content.decode()


def test_without_a_worker_the_page_says_how_to_start_one(as_role: AsRole, valkey: Any, two: Any) -> None:
    client = as_role("viewer")
    assert "--queues interactive" in client.get(reverse("chat")).content.decode()


def test_a_turn_is_put_to_both_sides_and_its_answers_stay_in_the_session(
    as_role: AsRole, valkey: Any, two: Any
) -> None:
    client = as_role("viewer")
    talk(client, *two)
    page = send(client).content.decode()
    assert "data-pending" in page
    assert Queue(queues.INTERACTIVE, connection=queues.connection()).count == 1  # one job for both questions
    questions = answer_all()
    assert [question.checkpoint for question in questions] == [one.pk for one in two]
    page = client.get(reverse("chat-turn", args=[0])).content.decode()
    assert page.count("Ivy, aloe, fern.") == 2
    assert "data-pending" not in page
    valkey.flushall()  # the queue server is empty; the conversation is kept
    assert client.get(reverse("chat")).content.decode().count("Ivy, aloe, fern.") == 2


def test_each_side_sees_its_own_answers_before_the_new_words(as_role: AsRole, valkey: Any, two: Any) -> None:
    client = as_role("viewer")
    talk(client, *two)
    send(client)
    while question := chat.take_question(0):
        chat.publish_answer(question, Answer("done", f"I am {question.checkpoint}.", 3, 0.1))
    client.get(reverse("chat-turn", args=[0]))
    send(client, text="And then?")
    for question in answer_all():
        assert [message["content"] for message in question.messages] == [
            "Name three plants.", f"I am {question.checkpoint}.", "And then?",
        ]  # fmt: skip


def test_a_turn_that_failed_is_no_part_of_the_history(as_role: AsRole, valkey: Any, two: Any) -> None:
    client = as_role("viewer")
    talk(client, two[1])
    send(client)
    question = chat.take_question(0)
    assert question is not None
    chat.publish_answer(question, Answer("failed", reason="The model could not be loaded: x."))
    assert "could not be loaded" in client.get(reverse("chat-turn", args=[0])).content.decode()
    send(client, text="Once more")
    assert [len(question.messages) for question in answer_all()] == [1]


def test_while_an_answer_is_written_nothing_more_is_sent(as_role: AsRole, valkey: Any, two: Any) -> None:
    client = as_role("viewer")
    talk(client, two[1])
    send(client)
    page = send(client)
    assert page.headers["HX-Retarget"] == "#chat-problem"
    assert "Wait until" in page.content.decode()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"text": "   "}, "Enter a message"),
        ({"text": "x" * 20_001}, "at most 20000 characters"),
        ({"temperature": "9"}, "between 0 and 2"),
        ({"temperature": "nan"}, "between 0 and 2"),
        ({"temperature": "warm"}, "between 0 and 2"),
        ({"max_tokens": "0"}, "between 1 and 4,096"),
        ({"max_tokens": ""}, "between 1 and 4,096"),
    ],
)
def test_words_that_cannot_be_sent_say_why_and_ask_nothing(
    as_role: AsRole, valkey: Any, two: Any, changes: dict[str, str], sentence: str
) -> None:
    client = as_role("viewer")
    talk(client, two[1])
    page = send(client, **changes)
    assert page.status_code == 200
    assert sentence in page.content.decode()
    assert chat.take_question(0) is None


def test_without_a_chosen_checkpoint_nothing_is_sent(as_role: AsRole, valkey: Any, two: Any) -> None:
    assert "Choose a checkpoint first" in send(as_role("viewer")).content.decode()


def test_page_warns_while_the_queue_server_is_offline(
    as_role: AsRole, two: Any, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setattr(queues, "_pool", None)
    client = as_role("viewer")
    talk(client, two[1])
    assert "does not respond" in send(client).content.decode()


def test_another_choice_and_the_button_begin_a_new_conversation(as_role: AsRole, valkey: Any, two: Any) -> None:
    client = as_role("viewer")
    talk(client, two[1])
    send(client)
    answer_all()
    talk(client, two[1])  # the same model keeps the conversation
    assert len(client.session["chat"]["turns"]) == 1
    client.post(reverse("chat-new"))
    assert client.session["chat"]["turns"] == []
    send(client)
    talk(client, two[0])
    assert client.session["chat"] == client.session["chat"] | {"checkpoints": [two[0].pk], "turns": []}


def test_a_conversation_is_private(as_role: AsRole, valkey: Any, two: Any) -> None:
    client = as_role("viewer")
    talk(client, two[1])
    send(client)
    assert as_role("lead").get(reverse("chat-turn", args=[0])).status_code == 404


def test_an_annotator_does_not_chat(as_role: AsRole, valkey: Any, two: Any) -> None:
    client = as_role("annotator")
    assert client.get(reverse("chat")).status_code == 403
    assert send(client).status_code == 403


def test_model_output_is_escaped(as_role: AsRole, valkey: Any, two: Any) -> None:
    client = as_role("viewer")
    talk(client, two[1])
    send(client, text="<b>bold</b>")
    answer_all("<script>alert(1)</script>")
    page = client.get(reverse("chat-turn", args=[0])).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<script>" not in page


def test_an_expired_question_is_dropped_and_reported_as_lost(valkey: Any, two: Any) -> None:
    question_id = chat.ask(two[1].pk, [{"role": "user", "content": "x"}], temperature=0, max_new_tokens=8, seed=1)
    valkey.delete(f"plumbline:chat:answer:{question_id}")  # as its expiry does
    assert chat.take_question(0) is None
    assert chat.answer_to(question_id).state == "failed"
    assert "ask again" in chat.answer_to(question_id).reason


def test_a_worker_that_waits_for_questions_makes_room_for_the_test_of_a_key(
    as_role: AsRole, valkey: Any, two: Any
) -> None:
    admin = as_role("admin")
    talk(admin, two[1])
    keys.store("lab", "gemini", "http://127.0.0.1:9", "a-key-to-be-tested", by=User.objects.get(username="admin"))
    admin.post(reverse("key-act", args=[ProviderKey.objects.get().pk, "test"]))
    send(admin)
    waiting = Queue(queues.INTERACTIVE, connection=queues.connection()).get_jobs()
    assert [job.func_name for job in waiting] == [
        keys.TEST_ENTRY_POINT,
        chat.ENTRY_POINT,
    ]  # a job is enqueued for the question
    assert chat.take_question(600) is not None  # the question is taken before the worker stops waiting
    assert chat.take_question(600) is None  # then it does not wait


def test_a_worker_that_died_over_an_answer_does_not_leave_it_pending(valkey: Any, two: Any) -> None:
    question_id = chat.ask(two[1].pk, [{"role": "user", "content": "x"}], temperature=0, max_new_tokens=8, seed=1)
    question = chat.take_question(0)
    assert question is not None
    chat.send_pulse(question)
    chat.publish_answer(question, Answer("writing"))
    assert chat.answer_to(question_id).state == "writing"
    assert 0 < valkey.ttl(f"plumbline:chat:pulse:{question_id}") <= chat.PULSE_SECONDS
    valkey.delete(f"plumbline:chat:pulse:{question_id}")  # as its expiry does
    assert chat.answer_to(question_id) == Answer("failed", reason=chat.DIED)


def test_a_question_without_a_worker_times_out(valkey: Any, two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    question_id = chat.ask(two[1].pk, [{"role": "user", "content": "x"}], temperature=0, max_new_tokens=8, seed=1)
    later = chat.time.time() + chat.PATIENCE_SECONDS + 1
    monkeypatch.setattr(chat.time, "time", lambda: later)
    assert chat.answer_to(question_id) == Answer("failed", reason=chat.LOST)


@pytest.fixture
def worker(valkey: Any, child_environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "worker", "--queues", "interactive"],
        env=child_environment, cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield process
    process.terminate()
    process.wait(timeout=20)


def wait_for(question_id: str, seconds: float = 180) -> Answer:
    end = chat.time.monotonic() + seconds
    while chat.time.monotonic() < end:
        answer = chat.answer_to(question_id)
        if answer.is_over:
            return answer
        chat.time.sleep(0.1)
    raise AssertionError(f"no answer in {seconds} s: {chat.answer_to(question_id)}")


@pytest.mark.slow
def test_a_worker_answers_with_a_real_model_and_reports_errors(worker: Any, two: Any, models_folder: Path) -> None:
    base, tuned = two
    Checkpoint.objects.filter(pk=tuned.pk).update(location=str(models_folder / "tiny-lm"))

    def ask(checkpoint: Checkpoint, text: str) -> Answer:
        messages: list[Any] = [{"role": "user", "content": text}]
        return wait_for(chat.ask(checkpoint.pk, messages, temperature=0.7, max_new_tokens=24, seed=11))

    first, second = ask(tuned, "Name three colours."), ask(tuned, "Name three colours.")
    assert first.state == "done", first.reason
    assert first.text
    assert 0 < first.tokens <= 24
    assert second.text == first.text  # the same seed gives the same text

    missing = ask(base, "Anybody there?")
    assert missing.state == "failed"
    assert "could not be loaded" in missing.reason

    nearly = ask(tuned, "word " * 495)  # 500 of the run's 512 tokens: the answer is shortened, not refused
    assert nearly.state == "done", nearly.reason
    assert nearly.tokens <= 12

    too_long = ask(tuned, "word " * 3000)
    assert too_long.state == "failed"
    assert "too long for this model" in too_long.reason


@pytest.mark.slow
def test_a_partial_answer_is_published(models_folder: Path) -> None:
    from training.engines.base import Request, Sampling
    from training.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(models_folder / "tiny-lm", batch_size=1)
    heard: list[str] = []
    engine.watch = heard.append
    request = Request("x", ({"role": "user", "content": "Write a long story about a fox."},), seed=5)
    (done,) = engine.generate([request], Sampling(max_new_tokens=48))
    assert len(heard) >= 3
    assert all(after.startswith(before) for before, after in pairwise(heard))
    assert done.text.startswith(heard[-1])


def test_the_chat_pages_import_no_torch(child_environment: dict[str, str]) -> None:
    code = (
        "import django, sys, json; django.setup(); import alignment_app.views.chat, alignment_app.views.compare;"
        "print(json.dumps([m for m in ('torch', 'transformers', 'training.interactive') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=child_environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == []
