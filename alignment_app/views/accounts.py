"""Login, password change, and user management by admins."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from alignment_app.backends import PASSWORD_DUE, address_of
from alignment_app.pages import people as selectors
from alignment_app.services import people, throttle
from alignment_app.services.errors import Refused
from alignment_app.views.access import for_every_role, requires

only_admins = requires(people.can_manage_people, "Only admins can manage users.")


class LoginForm(AuthenticationForm):
    """A login form that rejects logins after too many wrong passwords."""

    error_messages = {
        "invalid_login": "Wrong name or password. Both are case-sensitive.",
        "inactive": "This account is disabled. Ask an admin.",
    }

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username")
        if username and throttle.is_shut(username, address_of(self.request)):
            minutes = throttle.WINDOW_SECONDS // 60
            raise ValidationError(f"Too many wrong passwords. Wait {minutes} minutes, or ask an admin for a new one.")
        return super().clean()


def _first_page(request: HttpRequest) -> str:
    """Redirect to the runs, or to the review queues for users who cannot read runs."""
    return reverse("runs" if people.can_read(request.user) else "queues")


class Login(LoginView):
    template_name = "accounts/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        return _first_page(self.request)


class Password(PasswordChangeView):
    """Change the user's own password. With a one-time password, this is the only accessible page."""

    template_name = "accounts/password.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(due=bool(self.request.session.get(PASSWORD_DUE)), **kwargs)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        user = form.save()
        update_session_auth_hash(self.request, user)  # keep this session, end the user's others
        people.password_was_changed(user)
        self.request.session.pop(PASSWORD_DUE, None)
        messages.success(self.request, "Password changed.")
        return redirect(_first_page(self.request))


login = Login.as_view()
logout = for_every_role(LogoutView.as_view())
password = for_every_role(Password.as_view())


@for_every_role
@require_GET
def queues(request: HttpRequest) -> HttpResponse:
    """Show the start page of annotators."""
    return render(request, "accounts/queues.html", {"role": people.role_of(request.user)})


def _people_page(request: HttpRequest, **more: Any) -> HttpResponse:
    return render(
        request,
        "accounts/people.html",
        {
            "page": selectors.people_page(request.GET.get("q", ""), request.GET.get("page")),
            "roles": people.ROLES,
            **more,
        },
    )


@only_admins
@require_http_methods(["GET", "POST"])
def people_list(request: HttpRequest) -> HttpResponse:
    """List all accounts. A POST creates one and shows its one-time password once."""
    if request.method == "GET":
        return _people_page(request)
    username, role = request.POST.get("username", "").strip(), request.POST.get("role", "")
    try:
        user, secret = people.invite(username, role, by=cast(User, request.user))
    except Refused as refusal:
        response = _people_page(request, problem=refusal.message, username=username, role=role)
        response.status_code = refusal.status
        return response
    return _people_page(request, made=user, secret=secret)


def _person(pk: int) -> User:
    return get_object_or_404(User, pk=pk)


@only_admins
@require_POST
def person_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a user's role."""
    person, role = _person(pk), request.POST.get("role", "")
    try:
        people.set_role(person, role, by=cast(User, request.user))
        messages.success(request, f"{person.username} is now {role}.")
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("people")


@only_admins
@require_POST
def person_active(request: HttpRequest, pk: int) -> HttpResponse:
    """Disable or enable an account."""
    person, active = _person(pk), request.POST.get("active") == "1"
    try:
        people.set_active(person, active, by=cast(User, request.user))
        messages.success(
            request, f"{person.username} can log in again." if active else f"{person.username} is disabled."
        )
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("people")


@only_admins
@require_POST
def person_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Create a new one-time password and show it once."""
    person = _person(pk)
    try:
        secret = people.renew_password(person, by=cast(User, request.user))
    except Refused as refusal:
        messages.error(request, refusal.message)
        return redirect("people")
    return _people_page(request, made=person, secret=secret)
