"""Every URL of the project asked for on the database of an earlier version, with the training libraries blocked.

``python -m tests.support.crawl`` needs an empty data folder (``PLUMBLINE_HOME``) and, for PostgreSQL, an empty database
(``DATABASE_URL``). It loads the fixture, migrates it to the present version, asks for every URL that the resolver knows
and for every link on the pages that answer. It prints JSON: ``admin`` and ``annotator`` {URL: status} as each of them,
``uncovered`` [routes for which there is no row to ask with], ``post_only`` [routes without GET], ``loaded`` [blocked
modules that were imported all the same], and ``before`` and ``after`` the migrations {table: rows}.
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urljoin, urlsplit

if TYPE_CHECKING:
    from django.db.models import Model
    from django.test import Client

BLOCKED = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "vllm")
#: Rows asked for at most where a model has many, spread over the table: the admin's pages and the API's details.
SAMPLE = 3
METHOD_NOT_ALLOWED = 405
LINK = re.compile(r'(?:href|hx-get|data-[a-z-]*(?:url|href))="([^"#]+)')


class Block(MetaPathFinder):
    """Raises where a blocked library is imported, and passes over everything else."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in BLOCKED:
            raise ImportError(f"the web process imported {fullname}")


@dataclass(frozen=True)
class Route:
    """One URL pattern: its route as the resolver prints it, the name with its namespace, and the view."""

    route: str
    name: str
    view: Any

    @property
    def takes_get(self) -> bool:
        """Whether an API view has a handler for GET. A page says it itself, by 405."""
        actions = getattr(self.view, "actions", None)
        if actions is not None:
            return "get" in actions
        view_class = getattr(self.view, "cls", None)
        return view_class is None or hasattr(view_class, "get")


def routes(patterns: list[Any], prefix: str = "", namespace: str = "") -> Iterator[Route]:
    """Every URL pattern of the project."""
    from django.urls import URLPattern

    for pattern in patterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield Route(here, namespace + (pattern.name or ""), pattern.callback)
        else:
            inside = f"{namespace}{pattern.namespace}:" if getattr(pattern, "namespace", None) else namespace
            yield from routes(pattern.url_patterns, here, inside)


def rows(model: type[Model], most: int | None = None) -> list[Any]:
    """Primary keys of a model's rows, all of them or ``most`` spread over the table."""
    keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
    if most is None or len(keys) <= most:
        return keys
    return [keys[place * (len(keys) - 1) // (most - 1)] for place in range(most)]


class Filler:
    """Fills the parameters of a route from the rows of the database."""

    def __init__(self) -> None:
        from django.contrib.auth.models import User

        from alignment_app import models
        from labeling import models as people

        #: Which model the number in a page's address names, by the first words of the route; the longest wins.
        self.models: dict[str, type[Model]] = {
            "runs/": models.Run,
            "studies/": models.Study,
            "people/": User,
            "keys/": models.ProviderKey,
            "checkpoints/": models.Checkpoint,
            "data/": models.Dataset,
            "data/exports/": models.Export,
            "review/": people.Queue,
            "review/iterations/": models.Iteration,
            "review/judges/": models.Run,
            "review/items/": people.Task,
            "review/lines/": people.Review,
            "api/v1/queues/": people.Queue,
            "api/v1/tasks/": people.Task,
        }

    def addresses(self, route: Route) -> list[str]:
        """The addresses to ask for; none where no row fits."""
        if route.route.startswith("admin/"):
            return self._admin(route)
        if "(?P<pk>" in route.route:
            return self._api(route)
        special = getattr(self, "_" + route.name.replace("-", "_"), None)
        if special is not None:
            return [f"/{address}" for address in special()]
        if "<" not in route.route:
            return ["/" + re.sub(r"[\^$]", "", route.route)]
        return [
            "/" + re.sub(r"<int:\w+>", str(key), route.route.replace("<slug:verb>", "verb"), count=1)
            for key in rows(self._model(route.route))
        ]

    def _model(self, route: str) -> type[Model]:
        found = [prefix for prefix in self.models if route.startswith(prefix)]
        if not found or len(re.findall(r"<", route.replace("<slug:verb>", ""))) != 1:
            raise LookupError(f"tests/support/crawl.py does not know what fills {route}: add it to Filler")
        return self.models[max(found, key=len)]

    def _api(self, route: Route) -> list[str]:
        queryset = getattr(route.view.cls, "queryset", None)
        if queryset is None:  # presets are files
            from training.config import preset_names

            keys: Sequence[Any] = preset_names()
        else:
            keys = rows(queryset.model, None if "runs" in route.route else SAMPLE)
        plain = re.sub(r"[\^$]", "", route.route)
        return ["/" + re.sub(r"\(\?P<pk>[^)]*\)", str(key), plain) for key in keys]

    def _admin(self, route: Route) -> list[str]:
        from django.apps import apps
        from django.contrib import admin

        if route.name == "admin:view_on_site":
            return []  # no model of the project has a page of its own in the admin's sense
        if route.name == "admin:app_list":
            return [f"/admin/{label}/" for label in sorted({model._meta.app_label for model in admin.site._registry})]
        if route.name == "admin:autocomplete":
            return ["/admin/autocomplete/?app_label=alignment_app&model_name=stage&field_name=iteration"]
        if route.route.endswith("(?P<url>.*)$"):
            return ["/admin/no-such-page/"]
        parts = route.route.split("/")
        if "<" not in route.route:
            return ["/" + route.route]
        model = apps.get_model(parts[1], parts[2])
        return ["/" + re.sub(r"<[^>]*>", str(key), route.route) for key in rows(model, SAMPLE)]

    def _run_part(self) -> list[str]:
        from alignment_app.models import Run
        from alignment_app.views.runs import PARTS

        return [f"runs/{key}/part/{part}/" for key in rows(Run) for part in PARTS]

    def _run_step(self) -> list[str]:
        from alignment_app.models import StepCheck

        return [
            f"runs/{check.iteration.run_id}/iteration/{check.iteration.number}/step/{check.step}/"
            for check in StepCheck.objects.select_related("iteration")
        ]

    def _run_samples(self) -> list[str]:
        from alignment_app.models import Stage

        return [
            f"runs/{run}/samples/?iteration={number}&stage={kind}"
            for run, number, kind in Stage.objects.exclude(status__in=("pending", "skipped")).values_list(
                "iteration__run", "iteration__number", "kind"
            )
        ]

    def _checkpoint_margins(self) -> list[str]:
        from alignment_app.models import Checkpoint, PairMargin

        measured = PairMargin.objects.order_by("checkpoint", "part").values_list("checkpoint", "part").distinct()
        unmeasured = Checkpoint.objects.filter(pair_margins__isnull=True).values_list("pk", flat=True)[:1]
        pages = [*measured, *((key, PairMargin.Part.TRAINING) for key in unmeasured)]
        return [f"checkpoints/{key}/margins/{part}/" for key, part in pages]

    def _compare(self) -> list[str]:
        from alignment_app.models import Checkpoint

        keys = rows(Checkpoint)
        chosen = "&".join(f"checkpoint={key}" for key in keys[:4])
        return ["compare/", f"compare/?{chosen}"]

    def _launch(self) -> list[str]:
        from alignment_app.models import Run
        from training.config import preset_names

        clones = [f"runs/new/?clone={key}" for key in rows(Run)]
        return ["runs/new/", *clones, *(f"runs/new/?preset={name}" for name in preset_names())]

    def _study_new(self) -> list[str]:
        from alignment_app.models import Run

        return ["studies/new/", *(f"studies/new/?run={key}" for key in rows(Run))]

    def _stylesheet(self) -> list[str]:
        from alignment_app.stylesheet import stylesheet

        return [f"stylesheet/{stylesheet()[1]}.css", "stylesheet/of-another-version.css"]

    def _chat_turn(self) -> list[str]:
        return ["chat/turn/1/"]

    def _manual(self) -> list[str]:
        from django.conf import settings

        return [f"manual/{path.stem}.md" for path in sorted((settings.BASE_DIR / "docs").glob("*.md"))]

    def _data_preview(self) -> list[str]:
        return ["data/import/none/"]

    def _judge_names(self, page: str) -> list[str]:
        from alignment_app.models import JudgeVersion
        from training import judges

        stored = JudgeVersion.objects.values_list("name", flat=True)
        return [f"judges/of/{name}/{page}" for name in sorted({*stored, *judges.builtin()})]

    def _judge(self) -> list[str]:
        return self._judge_names("")

    def _judge_edit(self) -> list[str]:
        return self._judge_names("edit/")

    def _judge_document(self) -> list[str]:
        return self._judge_names("document/")

    def _judge_read(self) -> list[str]:
        return self._judge_names("read/")

    def _judge_try(self) -> list[str]:
        return self._judge_names("try/")


class Crawler:
    """Asks for addresses as one person, and follows the links of the pages that answer."""

    def __init__(self, client: Client, who: str) -> None:
        self.client, self.who = client, who
        self.statuses: dict[str, int] = {}
        self.seen: set[tuple[str, frozenset[str]]] = set()

    def ask(self, address: str, *, follow: bool = True) -> int:
        """Ask for ``address`` and then, one step deep, for the links of its page. Returns the status of ``address``.

        Of links that differ in the values of their query alone, the first one is asked for.
        """
        for link in self._get(address) if follow else self._get(address)[:0]:
            parts = urlsplit(urljoin(address, html.unescape(link)))
            shape = parts.path, frozenset(parse_qs(parts.query, keep_blank_values=True))
            if parts.netloc or parts.scheme or shape in self.seen or not self._is_page(parts.path):
                continue
            self.seen.add(shape)
            self._get(f"{parts.path}?{parts.query}" if parts.query else parts.path)
        return self.statuses[address]

    @staticmethod
    def _is_page(path: str) -> bool:
        return path.startswith("/") and not path.startswith(("/static/", "/admin/", "/api/", "/accounts/logout"))

    def _get(self, address: str) -> list[str]:
        if address in self.statuses:
            return []
        response = self.client.get(address)
        self.statuses[address] = response.status_code
        body = b"".join(response.streaming_content) if response.streaming and not response.is_async else b""
        is_page = "text/html" in response.headers.get("Content-Type", "") and not response.streaming
        text = response.content.decode() if is_page else body.decode(errors="replace")
        response.close()
        return LINK.findall(text) if is_page and response.status_code == 200 else []


def main() -> None:
    sys.meta_path.insert(0, Block())
    os.environ["DJANGO_SETTINGS_MODULE"] = "alignment_app.settings"
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import get_resolver

    import alignment_app.asgi  # noqa: F401  (the sockets, too)
    from alignment_app.models import OneTimePassword
    from tests.support import old_database

    old_database.load()
    before = old_database.count_rows()
    old_database.migrate()
    after = old_database.count_rows()
    users = get_user_model().objects
    OneTimePassword.objects.filter(user__username="ana").delete()  # she would be sent to the page Password
    crawlers = []
    for name in ("ada", "ana"):
        client = Client(raise_request_exception=False, SERVER_NAME="localhost")
        client.force_login(users.get(username=name))
        crawlers.append(Crawler(client, name))
    admin, annotator = crawlers
    filler, uncovered, post_only = Filler(), [], []
    for route in routes(get_resolver().url_patterns):
        if "logout" in route.route:
            continue  # last, by itself: it ends the session
        if not route.takes_get:
            post_only.append(route.name)
            continue
        addresses = filler.addresses(route)
        if not addresses:
            uncovered.append(route.name)
        for address in addresses:
            status = admin.ask(address, follow=not route.route.startswith(("admin/", "api/")))
            if status == METHOD_NOT_ALLOWED:
                post_only.append(route.name)
                break
        if route.name in ("review", "review-desk", "api-review-queues", "api-review-progress", "api-task-differences"):
            for address in addresses:
                annotator.ask(address)
    print(
        json.dumps(
            {
                "admin": admin.statuses,
                "annotator": annotator.statuses,
                "uncovered": uncovered,
                "post_only": post_only,
                "loaded": [name for name in BLOCKED if name in sys.modules],
                "before": before,
                "after": after,
            }
        )
    )


if __name__ == "__main__":
    main()
