"""The dashboard, the API and the admin: which address is answered by which page."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from alignment_app.views import (
    accounts,
    chat,
    checkpoints,
    compare,
    data,
    events,
    judges,
    keys,
    launch,
    manual,
    runs,
    studies,
    stylesheet,
    system,
)

urlpatterns = [
    path("stylesheet/<slug:digest>.css", stylesheet.joined, name="stylesheet"),
    path("", RedirectView.as_view(pattern_name="runs"), name="home"),
    # Runs
    path("runs/", runs.index, name="runs"),
    path("runs/new/", launch.new, name="launch"),
    path("runs/new/check/", launch.check, name="launch-check"),
    path("runs/<int:run_id>/", runs.detail, name="run"),
    path("runs/<int:run_id>/part/<slug:part>/", runs.part, name="run-part"),
    path("runs/<int:run_id>/samples/", runs.run_samples, name="run-samples"),
    path("runs/<int:run_id>/act/<slug:verb>/", runs.act, name="run-act"),
    path("runs/<int:run_id>/metrics.csv", runs.metrics_csv, name="run-metrics"),
    path("runs/<int:run_id>/iteration/<int:number>/step/<int:step>/", runs.step, name="run-step"),
    path("runs/<int:run_id>/config.yaml", runs.config_yaml, name="run-config"),
    # Studies
    path("studies/", studies.index, name="studies"),
    path("studies/new/", studies.new, name="study-new"),
    path("studies/new/check/", studies.check, name="study-check"),
    path("studies/<int:pk>/", studies.detail, name="study"),
    path("studies/<int:pk>/outcomes.csv", studies.outcomes_csv, name="study-csv"),
    path("studies/<int:pk>/act/<slug:verb>/", studies.act, name="study-act"),
    # Accounts
    path("accounts/login/", accounts.login, name="login"),
    path("accounts/logout/", accounts.logout, name="logout"),
    path("accounts/password/", accounts.password, name="password"),
    path("accounts/queues/", accounts.queues, name="queues"),
    path("people/", accounts.people_list, name="people"),
    path("people/<int:pk>/role/", accounts.person_role, name="person-role"),
    path("people/<int:pk>/active/", accounts.person_active, name="person-active"),
    path("people/<int:pk>/password/", accounts.person_password, name="person-password"),
    path("keys/", keys.index, name="keys"),
    path("keys/<int:pk>/<slug:verb>/", keys.act, name="key-act"),
    # Checkpoints
    path("checkpoints/", checkpoints.index, name="checkpoints"),
    path("checkpoints/<int:pk>/", checkpoints.detail, name="checkpoint"),
    path("checkpoints/<int:pk>/metrics.csv", checkpoints.metrics_csv, name="checkpoint-metrics"),
    path("checkpoints/<int:pk>/margins/<slug:part>/", checkpoints.pair_margins, name="checkpoint-margins"),
    path("checkpoints/<int:pk>/data/", checkpoints.data, name="checkpoint-data"),
    path("checkpoints/<int:pk>/answers/", checkpoints.answers, name="checkpoint-answers"),
    path("checkpoints/<int:pk>/comparisons/", checkpoints.comparisons, name="checkpoint-comparisons"),
    path("checkpoints/<int:pk>/judgements/", checkpoints.judgements, name="checkpoint-judgements"),
    # Chat, compare, system
    path("chat/", chat.chat, name="chat"),
    path("chat/send/", chat.send, name="chat-send"),
    path("chat/new/", chat.new, name="chat-new"),
    path("chat/turn/<int:number>/", chat.turn, name="chat-turn"),
    path("compare/", compare.compare, name="compare"),
    path("manual/<str:name>.md", manual.page, name="manual"),
    path("system/", system.system, name="system"),
    # Judges
    path("judges/", judges.index, name="judges"),
    path("judges/new/", judges.edit, name="judge-new"),
    path("judges/check/", judges.check, name="judge-check"),
    path("judges/responses/", judges.responses, name="judge-responses"),
    path("judges/trial/", judges.trial, name="judge-trial"),
    path("judges/of/<slug:name>/", judges.detail, name="judge"),
    path("judges/of/<slug:name>/edit/", judges.edit, name="judge-edit"),
    path("judges/of/<slug:name>/document/", judges.document, name="judge-document"),
    path("judges/of/<slug:name>/read/", judges.read, name="judge-read"),
    path("judges/of/<slug:name>/try/", judges.try_out, name="judge-try"),
    # Live events without a socket
    path("runs/<int:run_id>/events/", events.run_events, name="run-events"),
    # Data
    path("data/", data.index, name="data"),
    path("data/import/", data.choose_file, name="data-import"),
    path("data/import/<str:key>/", data.preview, name="data-preview"),
    path("data/exports/", data.export_rows, name="data-exports"),
    path("data/exports/<int:pk>/manifest/", data.export_manifest, name="data-manifest"),
    path("data/<int:pk>/", data.detail, name="dataset"),
    path("data/<int:pk>/remove/", data.remove, name="dataset-remove"),
    # People's review: pages and its part of the API, which stands before the rest because that answers everything
    path("", include("labeling.urls")),
    path("api/v1/", include("alignment_app.api.urls")),
    path("admin/", admin.site.urls),
]
