"""The API of the desk, which the browser uses too. Errors have the same shape as in the rest of the API."""

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
from labeling.services.access import can_annotate, require_queue_access
from labeling.services.answers import MAX_CHARACTERS, Answer, read_answer
from training.domain.differences import differences


class Annotates(permissions.IsAuthenticated):
    """Allow users who may answer items and whose password is not one-time."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        if people.password_is_one_time(cast(User, request.user)):
            raise PermissionDenied("Choose your own password first, at /accounts/password/.")
        if not can_annotate(request.user):
            raise PermissionDenied("Your role does not review. Ask an admin for the annotator role.")
        return True


class AnswerSerializer(serializers.Serializer[Any]):
    """A decision or a score, with a reason.

    ``preferred``: id of the better response of a pair or comparison, instead of a decision. ``scores`` and ``reasons``:
    of both responses of a pair by response id, if the queue asks for scores.
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
    """``beside``: id of the item on the screen, if the next one is prefetched."""

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


class DeskView(APIView):
    """Base class of the API views of the desk."""

    permission_classes = [Annotates]

    def person(self) -> User:
        return cast(User, self.request.user)

    def queue(self, pk: int) -> Queue:
        """The queue, if this person may work in it."""
        queue = get_object_or_404(Queue, pk=pk)
        require_queue_access(self.person(), queue)
        return queue

    def assignment(self, pk: int, *, with_texts: bool = False) -> Assignment:
        """This person's assignment to an item. Raises :class:`Refused` (409) if they never had one."""
        assignments = Assignment.objects.select_related("queue")
        if with_texts:
            assignments = assignments.select_related(
                "task__prompt", "task__first", "task__second", "task__pair__iteration__run", "queue__iteration__run",
            )  # fmt: skip
        assignment = assignments.filter(task=pk, person=self.person()).first()
        if assignment is None:
            raise Refused("lease-lost", "You have no lease on this item. Ask for the next one.")
        assignment.person = self.person()
        require_queue_access(assignment.person, assignment.queue)
        if with_texts:
            assignment.task.queue = assignment.queue
        return assignment


class QueueList(DeskView):
    @extend_schema(request=None, responses=OpenApiTypes.OBJECT, operation_id="review_queues")
    def get(self, request: Request) -> Response:
        """List the queues that the user may open, with their progress."""
        return Response({"results": [queues.as_json(queue) for queue in queues.queues_of(self.person())]})


class NextItem(DeskView):
    @extend_schema(request=NextSerializer, responses={200: OpenApiTypes.OBJECT, 204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Lease the next item to the user; 204 if no item is left."""
        beside = _read(NextSerializer, request)["beside"]
        queue = self.queue(pk)
        assignment = leases.next_task(queue, self.person(), beside=beside)
        if assignment is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        if beside is None:
            leases.mark_shown(assignment)
        return Response(desk.item(assignment))


class Renew(DeskView):
    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, pk: int) -> Response:
        """Renew the user's leases in the queue."""
        expires = leases.renew(self.queue(pk), self.person())
        if expires is None:
            raise Refused("lease-lost", "You have no lease in this queue. Ask for the next item.")
        return Response({"lease_expires": expires.isoformat()})


class Undo(DeskView):
    @extend_schema(request=None, responses={200: OpenApiTypes.OBJECT, 204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Take the user's newest answer back. Returns the item, or 204 if another person has it now."""
        queue = self.queue(pk)
        assignment = reviews.undo(queue, self.person())
        if assignment is None or assignment.state != Assignment.State.LEASED:
            return Response(status=status.HTTP_204_NO_CONTENT)
        assignment = self.assignment(assignment.task_id, with_texts=True)
        return Response(desk.item(assignment) | {"progress": desk.progress(queue, self.person())})


class QueueProgress(DeskView):
    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Items done and in total, and the user's items and working seconds today."""
        return Response(desk.progress(self.queue(pk), self.person()))


class Submit(DeskView):
    @extend_schema(request=AnswerSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, pk: int) -> Response:
        """Store an answer. 409 ``lease-lost``: another person has the item; the answer is kept for a lead."""
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


class Release(DeskView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Return the item to the queue."""
        leases.release(self.assignment(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Skip(DeskView):
    @extend_schema(request=ReasonSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, pk: int) -> Response:
        """Return the item for others; the user does not get it again."""
        assignment = self.assignment(pk)
        review = reviews.skip(assignment, _read(ReasonSerializer, request)["reason"])
        progress = desk.progress(assignment.queue, self.person())
        return Response(
            {"review": review.pk, "decision": review.decision, "progress": progress}, status=status.HTTP_201_CREATED
        )


class SaveDraft(DeskView):
    @extend_schema(request=DraftSerializer, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, pk: int) -> Response:
        """Save a draft and renew the lease."""
        saved = leases.save_draft(self.assignment(pk), _read(DraftSerializer, request)["draft"])
        return Response({"draft_saved_at": saved.isoformat()})


class MarkShown(DeskView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Record that a prefetched item is now on the screen; the time on it begins."""
        leases.mark_shown(self.assignment(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Reveal(DeskView):
    @extend_schema(request=AnswerSerializer, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, pk: int) -> Response:
        """Store the first answer of a blind queue, and return the judge and a preview of the change."""
        assignment = self.assignment(pk, with_texts=True)
        answer = read_answer(assignment.queue, assignment.task, Answer(**_read(AnswerSerializer, request)))
        if not desk.judge_visible(assignment) and assignment.queue.kind != Queue.Kind.COMPARISON:
            leases.reveal(assignment, answer.as_json())
        shown = desk.judge(assignment) if desk.judge_visible(assignment) else None
        change = preview(assignment.task, answer.decision, answer.score, answer.scores)
        return Response({"judge": shown, "preview": change.as_json()})


class Differences(DeskView):
    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Both responses in shown order, as pairs of a text and whether it is missing on the other side."""
        responses = desk.shown(self.assignment(pk, with_texts=True))
        if len(responses) < 2:
            raise Refused("one-response", "This item has only one response to compare.", status=400)
        left, right = differences(responses[0].text, responses[1].text)
        return Response({"items": [left, right]})
