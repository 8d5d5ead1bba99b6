"""Accounts: roles as Django groups, what each role may do, and every change to an account."""

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
    "admin": "Everything, people and exports included.",
    "lead": "Launches, pauses and cancels runs, imports data, lets reviewed runs train.",
    "annotator": "Works through review queues and sees nothing else.",
    "viewer": "Reads every page and changes nothing.",
}
AnyUser = AbstractBaseUser | AnonymousUser
PASSWORD_BYTES = 12  # 96 bits: 16 characters to type


def role_of(user: AnyUser) -> Role | None:
    """The role in force: of several groups the one that may most; a superuser is an admin; ``None``: no role.

    Read once a request and kept on the user object.
    """
    if not user.is_authenticated or not user.is_active:
        return None
    kept: Any = user
    if not hasattr(kept, "_plumbline_role"):
        kept._plumbline_role = role_of_groups(cast(User, user))
    return cast("Role | None", kept._plumbline_role)


def role_of_groups(user: User) -> Role | None:
    """The role that an account would have, disabled or not. Uses prefetched groups where there are some."""
    if user.is_superuser:
        return "admin"
    held = {group.name for group in user.groups.all()}
    order: tuple[Role, ...] = ("admin", "lead", "viewer", "annotator")
    return next((role for role in order if role in held), None)


def can_read(user: AnyUser) -> bool:
    """Runs, checkpoints, data and the system page. Annotators see their queues alone."""
    return role_of(user) in ("admin", "lead", "viewer")


def can_launch(user: AnyUser) -> bool:
    """Launch, clone, pause, resume, cancel and remove runs; let a reviewed run train."""
    return role_of(user) in ("admin", "lead")


def can_import(user: AnyUser) -> bool:
    """Bring data sets in."""
    return role_of(user) in ("admin", "lead")


def can_chat(user: AnyUser) -> bool:
    """Have a worker generate text outside a run."""
    return role_of(user) in ("admin", "lead", "viewer")


def can_export(user: AnyUser) -> bool:
    """Take rows out in bulk."""
    return role_of(user) == "admin"


def can_edit_judges(user: AnyUser) -> bool:
    """Add judges and make new versions of them."""
    return role_of(user) == "admin"


def can_manage_people(user: AnyUser) -> bool:
    """Invite, change roles, disable."""
    return role_of(user) == "admin"


def can_manage_keys(user: AnyUser) -> bool:
    """Store, test, replace and delete keys of providers."""
    return role_of(user) == "admin"


def new_password() -> str:
    """A random password of 16 URL-safe characters."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


@transaction.atomic
def make_admin(username: str) -> str:
    """Make the account, or mend it where it exists, as an active admin with a new random password, and return that.

    The password stays valid until it is changed: this is for whoever starts the system, who reads it off the terminal.
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
    """Make an account with a one-time password, returned to be shown once.

    Raises :class:`Refused` where the name is taken or unusable, the role unknown, or ``by`` no admin.
    """
    _admins_only(by)
    known = _known_role(role)
    username = username.strip()
    _check_username(username)
    users = get_user_model().objects
    if users.filter(username__iexact=username).exists():
        raise Refused("name-taken", f"There is already an account named {username}. Choose another name.")
    password = new_password()
    user = users.create_user(username=username, password=password)
    OneTimePassword.objects.create(user=user, made_by=by)
    _give_role(user, known)
    return user, password


@transaction.atomic
def renew_password(user: User, *, by: User) -> str:
    """A fresh one-time password for somebody who lost theirs, returned to be shown once.

    It ends their sessions and makes their API token invalid.
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
    """Give a person one role in place of any other. An admin cannot take away their own."""
    _admins_only(by)
    known = _known_role(role)
    if user == by and known != "admin":
        raise Refused("own-account", "You cannot take the admin role from yourself. Ask another admin.")
    _give_role(user, known)


@transaction.atomic
def set_active(user: User, active: bool, *, by: User) -> None:
    """Let a person log in, or shut them out; what they made stays."""
    _admins_only(by)
    if user == by and not active:
        raise Refused("own-account", "You cannot disable your own account. Ask another admin.")
    user.is_active = active
    user.save(update_fields=["is_active"])


def password_was_changed(user: User) -> None:
    """The person chose their own password: the one-time one is spent."""
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
        raise Refused("unknown-role", f"There is no role {role!r}. Choose one of {', '.join(ROLES)}.", status=400)
    return role


def _check_username(username: str) -> None:
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError:
        raise Refused(
            "bad-name", "A user name holds letters, digits and @ . + - _ only. Choose another name.", status=400
        ) from None
    if len(username) > 150:
        raise Refused("bad-name", "A user name has at most 150 characters. Choose a shorter one.", status=400)


def _admins_only(user: User) -> None:
    if not can_manage_people(user):
        raise Refused("not-allowed", "Only an admin manages people. Ask one.", status=403)
