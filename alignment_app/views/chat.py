"""Chat with one checkpoint, or with two side by side. The conversation is stored in the session."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.html import escape
from django.views.decorators.http import require_GET, require_POST

from alignment_app.models import Checkpoint
from alignment_app.pages import compare
from alignment_app.pages.checkpoints import checkpoints_of_runs
from alignment_app.services import chat as service
from alignment_app.services import people
from alignment_app.services.errors import Refused
from alignment_app.views.access import requires
from training.domain.rows import Message

KEY = "chat"
MOST_TURNS = 40

may_chat = requires(people.can_chat, "Your role cannot use the chat. Ask an admin.")


def _says(sentence: str) -> dict[str, str]:
    return dict.fromkeys(("required", "invalid", "min_value", "max_value"), sentence)


class TurnForm(forms.Form):
    """A message with its sampling parameters."""

    text = forms.CharField(max_length=20_000, error_messages={"required": "Enter a message."})
    temperature = forms.FloatField(
        min_value=0, max_value=2, error_messages=_says("Temperature must be between 0 and 2.")
    )
    max_tokens = forms.IntegerField(
        min_value=1, max_value=4096, error_messages=_says("Max tokens must be between 1 and 4,096.")
    )


def _chosen(request: HttpRequest) -> list[int]:
    values = [value for value in request.GET.getlist("checkpoint") if value.isascii() and value.isdigit()]
    return list(dict.fromkeys(int(value) for value in values if len(value) < 16))[:2]


def _conversation(request: HttpRequest) -> dict[str, Any]:
    return request.session.get(KEY) or {"checkpoints": [], "temperature": 0.7, "max_tokens": 256, "turns": []}


def _sides(conversation: dict[str, Any]) -> list[Checkpoint]:
    found = {one.pk: one for one in checkpoints_of_runs().filter(pk__in=conversation["checkpoints"])}
    return [found[pk] for pk in conversation["checkpoints"] if pk in found]


@may_chat
@require_GET
def chat(request: HttpRequest) -> HttpResponse:
    """Show the chat. One or two ``?checkpoint=`` select checkpoints; a new selection starts a new conversation."""
    conversation = _conversation(request)
    if "checkpoint" in request.GET:
        known = set(Checkpoint.objects.filter(pk__in=_chosen(request)).values_list("pk", flat=True))
        chosen = [pk for pk in _chosen(request) if pk in known]
        if chosen != conversation["checkpoints"]:
            conversation |= {"checkpoints": chosen, "turns": []}
            request.session[KEY] = conversation
    sides = _sides(conversation)
    return render(
        request,
        "chat/chat.html",
        {
            "sides": sides,
            "conversation": conversation,
            "turns": [_shown(number, turn, sides) for number, turn in enumerate(conversation["turns"])],
            "choices": compare.choices(""),
            "served": service.is_served(),
            "nobody": service.NOBODY,
        },
    )


@may_chat
@require_POST
def send(request: HttpRequest) -> HttpResponse:
    """Send a message to all checkpoints. The returned turn polls for its answers."""
    conversation = _conversation(request)
    sides, turns = _sides(conversation), conversation["turns"]
    form = TurnForm(request.POST)
    problem = ""
    if not sides:
        problem = "Choose a checkpoint first."
    elif not form.is_valid():
        problem = " ".join(str(texts[0]) for texts in form.errors.values())
    elif len(turns) >= MOST_TURNS:
        problem = f"A conversation has at most {MOST_TURNS} turns. Start a new one."
    elif turns and not _is_over(turns[-1], sides):
        problem = "Wait until the last answer is finished."
    if problem:
        return _problem(problem)
    given = form.cleaned_data
    turn: dict[str, Any] = {"text": given["text"], "seed": secrets.randbelow(2**31), "asked": {}, "answers": {}}
    try:
        for side in sides:
            turn["asked"][str(side.pk)] = service.ask(
                side.pk,
                [*_history(turns, side.pk), Message(role="user", content=given["text"])],
                temperature=given["temperature"],
                max_new_tokens=given["max_tokens"],
                seed=turn["seed"],
            )
    except Refused as refusal:
        return _problem(refusal.message)
    conversation |= {
        "temperature": given["temperature"],
        "max_tokens": given["max_tokens"],
        "turns": [*turns, turn],
    }
    request.session[KEY] = conversation
    return render(request, "chat/_turn.html", {"turn": _shown(len(turns), turn, sides)})


@may_chat
@require_GET
def turn(request: HttpRequest, number: int) -> HttpResponse:
    """Show a turn with its current answers."""
    conversation = _conversation(request)
    sides = _sides(conversation)
    if number >= len(conversation["turns"]):
        raise Http404("Turn not found. Reload the page.")
    asked = conversation["turns"][number]
    before = len(asked["answers"])
    shown = _shown(number, asked, sides)
    if len(asked["answers"]) != before:
        request.session[KEY] = conversation
    return render(request, "chat/_turn.html", {"turn": shown})


@may_chat
@require_POST
def new(request: HttpRequest) -> HttpResponse:
    """Start a new conversation with the same checkpoints."""
    request.session[KEY] = _conversation(request) | {"turns": []}
    return redirect("chat")


def _problem(sentence: str) -> HttpResponse:
    """Return an error that is shown beside the button instead of a turn."""
    return HttpResponse(escape(sentence), headers={"HX-Retarget": "#chat-problem", "HX-Reswap": "innerHTML"})


def _shown(number: int, turn: dict[str, Any], sides: list[Checkpoint]) -> dict[str, Any]:
    """Return the view model of a turn. Finished answers are copied to ``turn``: the queue server expires them."""
    rows: list[tuple[Checkpoint, service.Answer]] = []
    for side in sides:
        key = str(side.pk)
        if key in turn["answers"]:
            answer = service.Answer(**turn["answers"][key])
        else:
            answer = service.answer_to(turn["asked"].get(key, ""))
            if answer.is_over:
                turn["answers"][key] = asdict(answer)
        rows.append((side, answer))
    return {
        "number": number,
        "text": turn["text"],
        "seed": turn["seed"],
        "rows": rows,
        "pending": any(not answer.is_over for _, answer in rows),
    }


def _is_over(turn: dict[str, Any], sides: list[Checkpoint]) -> bool:
    return all(str(side.pk) in turn["answers"] for side in sides)


def _history(turns: list[dict[str, Any]], side: int) -> list[Message]:
    """Return the messages of the turns that this checkpoint answered."""
    history: list[Message] = []
    for turn in turns:
        answer = turn["answers"].get(str(side))
        if answer and answer["state"] == "done":
            history.append(Message(role="user", content=turn["text"]))
            history.append(Message(role="assistant", content=answer["text"]))
    return history
