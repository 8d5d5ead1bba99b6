"""Accounts: roles as Django groups, permissions of each role, and changes to accounts."""

from __future__ import annotations

import secrets
from typing import Any, Final, Literal, cast

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import transaction
from rest_framework.authtoken.models import Token

from alignment_app.models import OneTimePassword
from alignment_app.services.errors import Refused

Role = Literal["admin", "lead", "annotator", "viewer"]
ROLES: Final[dict[Role, str]] = {
    "admin": "All actions, including accounts and exports.",
    "lead": "Launches, pauses and cancels runs, imports data, approves reviews.",
    "annotator": "Works on review queues only.",
    "viewer": "Reads all pages, changes nothing.",
}
AnyUser = AbstractBaseUser | AnonymousUser
PASSWORD_BYTES = 12  # 96 bits: 16 characters to type


def role_of(user: AnyUser) -> Role | None:
    """Return the effective role, or ``None``: the most powerful of the user's groups; a superuser is an admin.

    Cached on the user object, so read once per request.
    """
    if not user.is_authenticated or not user.is_active:
        return None
    kept: Any = user
    if not hasattr(kept, "_plumbline_role"):
        kept._plumbline_role = role_of_groups(cast(User, user))
    return cast("Role | None", kept._plumbline_role)


def role_of_groups(user: User) -> Role | None:
    """Return the role of an account, active or not. Uses prefetched groups if present."""
    if user.is_superuser:
        return "admin"
    held = {group.name for group in user.groups.all()}
    order: tuple[Role, ...] = ("admin", "lead", "viewer", "annotator")
    return next((role for role in order if role in held), None)


def can_read(user: AnyUser) -> bool:
    """View runs, checkpoints, data and the system page. Annotators see only their queues."""
    return role_of(user) in ("admin", "lead", "viewer")


def can_launch(user: AnyUser) -> bool:
    """Launch, clone, pause, resume, cancel and remove runs; approve reviews."""
    return role_of(user) in ("admin", "lead")


def can_import(user: AnyUser) -> bool:
    """Import data sets."""
    return role_of(user) in ("admin", "lead")


def can_chat(user: AnyUser) -> bool:
    """Generate text with a worker outside of a run."""
    return role_of(user) in ("admin", "lead", "viewer")


def can_export(user: AnyUser) -> bool:
    """Export rows."""
    return role_of(user) == "admin"


def can_edit_judges(user: AnyUser) -> bool:
    """Add judges and new versions of judges."""
    return role_of(user) == "admin"


def can_manage_people(user: AnyUser) -> bool:
    """Invite people, change roles, disable accounts."""
    return role_of(user) == "admin"


def can_manage_keys(user: AnyUser) -> bool:
    """Store, test, replace and delete provider keys."""
    return role_of(user) == "admin"


def new_password() -> str:
    """Return a random password of 16 URL-safe characters."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


@transaction.atomic
def make_admin(username: str) -> str:
    """Create an active admin, or reset an existing account to one, and return its new random password.

    The password is not one-time: it is for the operator, who reads it in the terminal.
    """
    _check_username(username)
    user, _ = get_user_model().objects.get_or_create(username=username)
    password = new_password()
    user.set_password(password)
    user.is_active = True
    user.save()
    OneTimePassword.objects.filter(user=user).delete()
    _give_role(user, "admin")
    return password


@transaction.atomic
def invite(username: str, role: str, *, by: User) -> tuple[User, str]:
    """Create an account and return it with its one-time password, to be shown once.

    Raises :class:`Refused` when the name is taken or invalid, the role is unknown, or ``by`` is not an admin.
    """
    _admins_only(by)
    known = _known_role(role)
    username = username.strip()
    _check_username(username)
    users = get_user_model().objects
    if users.filter(username__iexact=username).exists():
        raise Refused("name-taken", f"The account {username} exists. Choose another name.")
    password = new_password()
    user = users.create_user(username=username, password=password)
    OneTimePassword.objects.create(user=user, made_by=by)
    _give_role(user, known)
    return user, password


@transaction.atomic
def renew_password(user: User, *, by: User) -> str:
    """Set and return a new one-time password, to be shown once.

    Ends the user's sessions and invalidates their API token.
    """
    _admins_only(by)
    if user == by:
        raise Refused("own-account", "Change your own password on the page Password.")
    password = new_password()
    user.set_password(password)
    user.save(update_fields=["password"])
    Token.objects.filter(user=user).delete()
    OneTimePassword.objects.update_or_create(user=user, defaults={"made_by": by})
    return password


@transaction.atomic
def set_role(user: User, role: str, *, by: User) -> None:
    """Replace a user's role. Admins cannot remove their own admin role."""
    _admins_only(by)
    known = _known_role(role)
    if user == by and known != "admin":
        raise Refused("own-account", "You cannot remove your own admin role. Ask another admin.")
    _give_role(user, known)


@transaction.atomic
def set_active(user: User, active: bool, *, by: User) -> None:
    """Enable or disable an account. Its data is kept."""
    _admins_only(by)
    if user == by and not active:
        raise Refused("own-account", "You cannot disable your own account. Ask another admin.")
    user.is_active = active
    user.save(update_fields=["is_active"])


def password_was_changed(user: User) -> None:
    """Remove the one-time mark after the user has chosen a password."""
    OneTimePassword.objects.filter(user=user).delete()


def password_is_one_time(user: User) -> bool:
    return hasattr(user, "one_time_password")


def _give_role(user: User, role: Role) -> None:
    group, _ = Group.objects.get_or_create(name=role)
    user.groups.remove(*user.groups.filter(name__in=ROLES))
    user.groups.add(group)
    user.is_staff = user.is_superuser = role == "admin"
    user.save(update_fields=["is_staff", "is_superuser"])
    if hasattr(user, "_plumbline_role"):
        del user._plumbline_role


def _known_role(role: str) -> Role:
    if role not in ROLES:
        raise Refused("unknown-role", f"Unknown role {role!r}. Choose one of {', '.join(ROLES)}.", status=400)
    return role


def _check_username(username: str) -> None:
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError:
        raise Refused("bad-name", "A user name has letters, digits and @ . + - _ only.", status=400) from None
    if len(username) > 150:
        raise Refused("bad-name", "A user name has at most 150 characters.", status=400)


def _admins_only(user: User) -> None:
    if not can_manage_people(user):
        raise Refused("not-allowed", "Only admins can manage accounts.", status=403)
