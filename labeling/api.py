"""The API of the desk: the browser uses the same addresses. Errors have the shape of the whole API."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework import permissions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alignment_app.services import people
from alignment_app.services.errors import Refused
from labeling.models import Assignment, Queue
from labeling.pages import desk, queues
from labeling.pages.preview import preview
from labeling.services import leases, reviews
from labeling.services.access import can_annotate, require_worker
from labeling.services.answers import MAX_CHARACTERS, Answer, read_answer
from training.domain.differences import differences


class Annotates(permissions.IsAuthenticated):
    """People who work through queues, with a password of their own."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        if people.password_is_one_time(cast(User, request.user)):
            raise PermissionDenied("Choose your own password first, at /accounts/password/.")
        if not can_annotate(request.user):
            raise PermissionDenied("Your role does not review. Ask an admin for the annotator role.")
        return True


class AnswerSerializer(serializers.Serializer[Any]):
    """A decision (``preferred`` names a response instead, for pairs and comparisons) or a score, and why.

    ``scores``: of both responses of a pair by their ids, where the queue asks for them; ``reasons``: why, likewise.
    """

    decision = serializers.CharField(required=False, allow_blank=True, max_length=12, default="")
    preferred = serializers.IntegerField(required=False, allow_null=True, default=None)
    score = serializers.FloatField(required=False, allow_null=True, default=None)
    scores = serializers.DictField(child=serializers.FloatField(), required=False, allow_null=True, default=None)
    reasons = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=MAX_CHARACTERS),
        required=False, allow_null=True, default=None,
    )  # fmt: skip
    text = serializers.CharField(
        required=False, allow_blank=True, max_length=MAX_CHARACTERS, default="", trim_whitespace=False
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=MAX_CHARACTERS, default="")


class NextSerializer(serializers.Serializer[Any]):
    """``beside``: the task at hand, when the one after it is loaded ahead."""

    beside = serializers.IntegerField(required=False, allow_null=True, default=None)


class DraftSerializer(serializers.Serializer[Any]):
    draft = serializers.DictField(allow_null=True)

    def validate_draft(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and len(str(value)) > 2 * MAX_CHARACTERS:
            raise serializers.ValidationError("the draft is too long")
        return value


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=MAX_CHARACTERS, default="")


def _read(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    form = kind(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


class Part(APIView):
    """Base of the desk's views."""

    permission_classes = [Annotates]

    def person(self) -> User:
        return cast(User, self.request.user)

    def queue(self, pk: int) -> Queue:
        """A queue that this person may work in."""
        queue = get_object_or_404(Queue, pk=pk)
        require_worker(self.person(), queue)
        return queue

    def assignment(self, pk: int, *, with_texts: bool = False) -> Assignment:
        """This person's place at an item. Raises :class:`Refused` (409) where they never had one."""
        places = Assignment.objects.select_related("queue")
        if with_texts:
            places = places.select_related(
                "task__prompt", "task__first", "task__second", "task__pair__iteration__run", "queue__iteration__run",
            )  # fmt: skip
        found = places.filter(task=pk, person=self.person()).first()
        if found is None:
            raise Refused("lease-lost", "You do not hold this item. Ask for the next one.")
        found.person = self.person()
        require_worker(found.person, found.queue)
        if with_texts:
            found.task.queue = found.queue
        return found


class QueueList(Part):
    @extend_schema(request=None, responses=OpenApiTypes.OBJECT, operation_id="review_queues")
    def get(self, request: Request) -> Response:
        """The queues that this person works in, with their progress."""
        return Response({"results": [queues.as_json(queue) for queue in queues.queues_of(self.person())]})


class Next(Part):
    @extend_schema(request=NextSerializer, responses={200: OpenApiTypes.OBJECT, 204: None})
    def post(self, request: Request, pk: int) -> Response:
        """The next item for this person, with a lease on it; 204 when none is left."""
        beside = _read(NextSerializer, request)["beside"]
        queue = self.queue(pk)
        assignment = leases.next_task(queue, self.person(), beside=beside)
        if assignment is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        if beside is None:
            leases.mark_shown(assignment)
        return Response(desk.item(assignment))


class Renew(Part):
    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, pk: int) -> Response:
        """Prolong what this person holds in the queue."""
        expires = leases.renew(self.queue(pk), self.person())
        if expires is None:
            raise Refused("lease-lost", "You hold nothing in this queue. Ask for the next item.")
        return Response({"lease_expires": expires.isoformat()})


class Undo(Part):
    @extend_schema(request=None, responses={200: OpenApiTypes.OBJECT, 204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Take the newest answer back; the item comes again, or 204 where somebody else has it now."""
        queue = self.queue(pk)
        assignment = reviews.undo(queue, self.person())
        if assignment is None or assignment.state != Assignment.State.LEASED:
            return Response(status=status.HTTP_204_NO_CONTENT)
        assignment = self.assignment(assignment.task_id, with_texts=True)
        return Response(desk.item(assignment) | {"progress": desk.progress(queue, self.person())})


class Progress(Part):
    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Items done and all, this person's today, and their seconds at work today."""
        return Response(desk.progress(self.queue(pk), self.person()))


class Submit(Part):
    @extend_schema(request=AnswerSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, pk: int) -> Response:
        """Save the answer. 409 ``lease-lost``: somebody else has the item; the answer is kept for the lead."""
        answer = Answer(**_read(AnswerSerializer, request))
        assignment = self.assignment(pk)
        review = reviews.submit(assignment, answer).review
        return Response(
            {
                "review": review.pk,
                "decision": review.decision,
                "late": review.late,
                "progress": desk.progress(assignment.queue, self.person()),
            },
            status=status.HTTP_201_CREATED,
        )


class Release(Part):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Put the item back for anybody."""
        leases.release(self.assignment(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Skip(Part):
    @extend_schema(request=ReasonSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, pk: int) -> Response:
        """Leave the item to others; it does not come back to this person."""
        assignment = self.assignment(pk)
        review = reviews.skip(assignment, _read(ReasonSerializer, request)["reason"])
        progress = desk.progress(assignment.queue, self.person())
        return Response(
            {"review": review.pk, "decision": review.decision, "progress": progress}, status=status.HTTP_201_CREATED
        )


class Draft(Part):
    @extend_schema(request=DraftSerializer, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, pk: int) -> Response:
        """Keep what was typed so far and prolong the lease."""
        saved = leases.save_draft(self.assignment(pk), _read(DraftSerializer, request)["draft"])
        return Response({"draft_saved_at": saved.isoformat()})


class Seen(Part):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        """An item that was loaded ahead is on the screen now: its time begins."""
        leases.mark_shown(self.assignment(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Reveal(Part):
    @extend_schema(request=AnswerSerializer, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, pk: int) -> Response:
        """Keep the first answer of a blind queue, and show the judge and what the answer would change."""
        assignment = self.assignment(pk, with_texts=True)
        answer = read_answer(assignment.queue, assignment.task, Answer(**_read(AnswerSerializer, request)))
        if not desk.judge_visible(assignment) and assignment.queue.kind != Queue.Kind.COMPARISON:
            leases.reveal(assignment, answer.as_json())
        shown = desk.judge(assignment) if desk.judge_visible(assignment) else None
        change = preview(assignment.task, answer.decision, answer.score, answer.scores)
        return Response({"judge": shown, "preview": change.as_json()})


class Differences(Part):
    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Both responses as runs of text, each with whether the other side lacks it, in shown order."""
        responses = desk.shown(self.assignment(pk, with_texts=True))
        if len(responses) < 2:
            raise Refused("one-response", "This item has one response; there is nothing to compare.", status=400)
        left, right = differences(responses[0].text, responses[1].text)
        return Response({"items": [left, right]})
