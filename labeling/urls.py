"""URLs of the review. They come before those of ``alignment_app``, whose API has a catch-all."""

from __future__ import annotations

from django.urls import path

from labeling import api
from labeling.views import desk, judges, lead

urlpatterns = [
    path("api/v1/queues", api.QueueList.as_view(), name="api-review-queues"),
    path("api/v1/queues/<int:pk>/next", api.NextItem.as_view(), name="api-review-next"),
    path("api/v1/queues/<int:pk>/renew", api.Renew.as_view(), name="api-review-renew"),
    path("api/v1/queues/<int:pk>/undo", api.Undo.as_view(), name="api-review-undo"),
    path("api/v1/queues/<int:pk>/progress", api.QueueProgress.as_view(), name="api-review-progress"),
    path("api/v1/tasks/<int:pk>/submit", api.Submit.as_view(), name="api-task-submit"),
    path("api/v1/tasks/<int:pk>/release", api.Release.as_view(), name="api-task-release"),
    path("api/v1/tasks/<int:pk>/skip", api.Skip.as_view(), name="api-task-skip"),
    path("api/v1/tasks/<int:pk>/draft", api.SaveDraft.as_view(), name="api-task-draft"),
    path("api/v1/tasks/<int:pk>/seen", api.MarkShown.as_view(), name="api-task-seen"),
    path("api/v1/tasks/<int:pk>/reveal", api.Reveal.as_view(), name="api-task-reveal"),
    path("api/v1/tasks/<int:pk>/differences", api.Differences.as_view(), name="api-task-differences"),
    path("review/", desk.index, name="review"),
    path("review/<int:pk>/", desk.desk, name="review-desk"),
    path("review/new/", lead.new, name="review-new"),
    path("review/<int:pk>/lead/", lead.queue, name="review-queue"),
    path("review/<int:pk>/guidelines/", lead.guidelines, name="review-guidelines"),
    path("review/<int:pk>/act/<slug:verb>/", lead.act, name="review-act"),
    path("review/<int:pk>/items/", lead.items, name="review-items"),
    path("review/iterations/<int:pk>/again/", lead.again, name="review-again"),
    path("review/judges/<int:run_id>/", judges.of_run, name="review-judges"),
    path("review/judges/<int:run_id>/measure/", judges.measure, name="review-judges-measure"),
    path("review/items/<int:pk>/", lead.task, name="review-task"),
    path("review/items/<int:pk>/decide/", lead.decide, name="review-decide"),
    path("review/lines/<int:pk>/<slug:verb>/", lead.line, name="review-line"),
]
