"""Management of provider keys by admins. A stored key is never shown again."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from alignment_app.models import ProviderKey
from alignment_app.services import keys, people
from alignment_app.services.errors import Refused
from alignment_app.views.access import requires
from training.domain.engine_kinds import key_variables, provider_choices

only_admins = requires(people.can_manage_keys, "Only admins can manage keys.")


@only_admins
@require_http_methods(["GET", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """List the keys by name. A POST stores a new one."""
    if request.method == "GET":
        return _page(request)
    given = {name: request.POST.get(name, "") for name in ("name", "provider", "base_url")}
    try:
        made = keys.store(**given, secret=request.POST.get("secret", ""), by=cast(User, request.user))
    except Refused as refusal:
        return _page(request, status=refusal.status, problem=refusal.message, **given)
    messages.success(request, f"{made.name} stored. Use it as teacher.key in a config.")
    return redirect("keys")


def _page(request: HttpRequest, status: int = 200, **more: str) -> HttpResponse:
    found = ProviderKey.objects.select_related("made_by")
    rows = [(key, key.test_asked_at is not None and key.test_passed is None) for key in found]
    context = {
        "rows": rows,
        "waits": any(waits for _, waits in rows),
        "providers": provider_choices(),
        "variables": key_variables(),
        **more,
    }
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, "keys/_table.html" if is_part else "keys/index.html", context, status=status)


@only_admins
@require_POST
def act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Test, replace or delete one key."""
    key, user = get_object_or_404(ProviderKey, pk=pk), cast(User, request.user)
    try:
        if verb == "test":
            keys.request_test(key, by=user)
        elif verb == "replace":
            keys.replace(key, request.POST.get("secret", ""), by=user)
            messages.success(request, f"{key.name} replaced.")
        elif verb == "delete":
            keys.remove(key, by=user)
            messages.success(request, f"{key.name} deleted.")
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("keys")
