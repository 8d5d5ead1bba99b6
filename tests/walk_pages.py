"""Boots the web process with the training libraries blocked and asks for every page: run by ``test_packages``.

Prints JSON: {"pages": {path: status}, "loaded": [blocked modules that are there all the same]}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from typing import Any
from urllib.parse import urlsplit

BLOCKED = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "vllm")


class Block(MetaPathFinder):
    """Raises where a blocked library is imported, and passes over everything else."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in BLOCKED:
            raise ImportError(f"the web process imported {fullname}")


def paths(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    """Every URL of the project, with 1 for every number and a name for every word."""
    from django.urls import URLPattern
    from django.urls.resolvers import RoutePattern

    for pattern in patterns:
        if not isinstance(pattern.pattern, RoutePattern):
            continue  # the admin's catch-all and format suffixes are regular expressions
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            for name, converter in pattern.pattern.converters.items():
                kind = type(converter).__name__
                value = "1" if kind == "IntConverter" or name in ("object_id", "pk", "id") else "responses"
                here = here.replace(f"<{kind.removesuffix('Converter').lower()}:{name}>", value)
                here = here.replace(f"<{name}>", value)
            yield "/" + here
        else:
            yield from paths(pattern.url_patterns, here)


def main() -> None:
    sys.meta_path.insert(0, Block())
    os.environ["DJANGO_SETTINGS_MODULE"] = "alignment_app.settings"
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client
    from django.urls import get_resolver

    import alignment_app.asgi  # noqa: F401  (the sockets, too)
    from alignment_app.services import imports, people, runs
    from training.config import RunConfig, preset_data

    call_command("migrate", interactive=False, verbosity=0)
    people.make_admin("walker")
    data = preset_data("smollm2-135m-first-run")
    for name in (data["prompts"]["dataset"], data["evaluation"]["dataset"]):
        imports.import_rows(name, "prompts", [{"prompt": f"Question {number} of {name}?"} for number in range(3)])
    runs.launch(RunConfig.parse(data), preset="smollm2-135m-first-run")

    client = Client(raise_request_exception=False, SERVER_NAME="localhost")
    client.force_login(get_user_model().objects.get(username="walker"))
    asked = [path for path in dict.fromkeys(paths(get_resolver().url_patterns)) if "logout" not in path]
    statuses = {}
    # The API's router speaks regular expressions; its root lists what it has.
    root = client.get("/api/v1/").json()
    listed = [urlsplit(url).path for url in root.values() if isinstance(url, str)]
    asked += [*listed, *(f"{path}1/" for path in listed)]
    for path in asked:
        response = client.get(path)
        statuses[path] = response.status_code
        response.close()
    print(json.dumps({"pages": statuses, "loaded": [name for name in BLOCKED if name in sys.modules]}))


if __name__ == "__main__":
    main()
