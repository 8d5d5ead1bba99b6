"""Login, roles, one-time passwords, and the page People."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory
from django.urls import reverse
from rest_framework.authtoken.models import Token

from alignment_app.models import OneTimePassword
from alignment_app.services import people, throttle
from alignment_app.services.errors import Refused

pytestmark = pytest.mark.django_db

AsRole = Callable[[str], Client]
LOGIN = "/accounts/login/"


@pytest.fixture
def admin() -> User:
    people.make_admin("root")
    return User.objects.get(username="root")


def log_in(client: Client, username: str, password: str, **extra: str) -> int:
    return client.post(LOGIN, {"username": username, "password": password}, **extra).status_code


def test_the_migration_makes_the_four_roles_as_groups() -> None:
    assert set(people.ROLES) <= set(Group.objects.values_list("name", flat=True))


def test_every_page_asks_for_a_login(client: Client) -> None:
    for name in ("checkpoints", "compare", "chat", "system", "people", "password", "runs"):
        response = client.get(reverse(name))
        assert response.status_code == 302, name
        assert response.headers["Location"].startswith(LOGIN), name


def test_the_login_page_leads_to_where_one_wanted_to_go(client: Client, admin: User) -> None:
    password = people.make_admin("root")
    response = client.post(LOGIN, {"username": "root", "password": password, "next": "/system/"})
    assert response.headers["Location"] == "/system/"


def test_the_login_page_does_not_lead_to_another_host(client: Client, admin: User) -> None:
    password = people.make_admin("root")
    response = client.post(LOGIN, {"username": "root", "password": password, "next": "https://elsewhere.example/"})
    assert response.headers["Location"] == reverse("runs")


def test_a_wrong_password_says_so_without_saying_which_part_was_wrong(client: Client, admin: User) -> None:
    for name in ("root", "nobody-of-that-name"):
        page = client.post(LOGIN, {"username": name, "password": "wrong"})
        assert "Wrong name or password" in page.content.decode()


def test_make_admin_gives_a_new_random_password_each_time_and_mends_a_disabled_account(client: Client) -> None:
    first = people.make_admin("root")
    User.objects.filter(username="root").update(is_active=False, is_superuser=False)
    second = people.make_admin("root")
    assert first != second
    assert len(second) >= 16
    user = User.objects.get(username="root")
    assert people.role_of(user) == "admin"
    assert user.check_password(second)
    assert log_in(client, "root", second) == 302


def test_after_five_wrong_passwords_even_the_right_one_is_refused_for_a_while(client: Client) -> None:
    password = people.make_admin("root")
    for _ in range(throttle.LIMIT_FROM_ONE_ADDRESS):
        assert log_in(client, "root", "wrong") == 200
    page = client.post(LOGIN, {"username": "root", "password": password})
    assert page.status_code == 200
    assert "Too many wrong passwords" in page.content.decode()


def test_who_guesses_from_one_address_does_not_shut_out_the_owner_at_another(client: Client) -> None:
    password = people.make_admin("root")
    for _ in range(throttle.LIMIT_FROM_ONE_ADDRESS):
        log_in(client, "root", "wrong", REMOTE_ADDR="10.0.0.9")
    assert log_in(client, "root", password, REMOTE_ADDR="10.0.0.1") == 302


def test_the_admins_own_login_page_is_throttled_too(client: Client) -> None:
    password = people.make_admin("root")
    for _ in range(throttle.LIMIT_FROM_ONE_ADDRESS):
        client.post("/admin/login/", {"username": "root", "password": "wrong"})
    client.post("/admin/login/", {"username": "root", "password": password})
    assert "_auth_user_id" not in client.session


def test_a_right_password_forgives_what_came_before(client: Client) -> None:
    password = people.make_admin("root")
    for _ in range(throttle.LIMIT_FROM_ONE_ADDRESS - 1):
        log_in(client, "root", "wrong")
    assert log_in(client, "root", password) == 302
    assert not throttle.is_shut("root", "127.0.0.1")
    log_in(Client(), "root", "wrong")
    assert log_in(Client(), "root", password) == 302


@pytest.mark.parametrize(
    ("role", "reads", "launches", "imports", "exports", "manages"),
    [
        ("admin", True, True, True, True, True),
        ("lead", True, True, True, False, False),
        ("viewer", True, False, False, False, False),
        ("annotator", False, False, False, False, False),
        ("nobody", False, False, False, False, False),
    ],
)
def test_what_each_role_may_do(
    as_role: AsRole, role: str, reads: bool, launches: bool, imports: bool, exports: bool, manages: bool
) -> None:
    as_role(role)
    user = User.objects.get(username=role)
    assert people.can_read(user) is reads
    assert people.can_launch(user) is launches
    assert people.can_import(user) is imports
    assert people.can_export(user) is exports
    assert people.can_manage_people(user) is manages


def test_of_two_roles_the_one_that_may_more_counts_and_a_disabled_person_has_none(as_role: AsRole) -> None:
    as_role("annotator")
    user = User.objects.get(username="annotator")
    user.groups.add(Group.objects.get(name="lead"))
    assert people.role_of(User.objects.get(pk=user.pk)) == "lead"
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert people.role_of(User.objects.get(pk=user.pk)) is None


def test_an_annotator_lands_on_their_queues_and_opens_nothing_else(as_role: AsRole) -> None:
    client = as_role("annotator")
    assert client.get("/", follow=True).request["PATH_INFO"] == reverse("queues")
    assert "Nothing to review" in client.get(reverse("queues")).content.decode()
    for name in ("runs", "checkpoints", "compare", "chat", "system", "people"):
        assert client.get(reverse(name)).status_code == 403, name
    assert client.get(reverse("password")).status_code == 200


def test_an_annotator_who_logs_in_is_not_met_by_a_closed_door(admin: User) -> None:
    annotator, secret = people.invite("ana", "annotator", by=admin)
    people.password_was_changed(annotator)
    client = Client()
    page = client.post(LOGIN, {"username": "ana", "password": secret}, follow=True)
    assert page.status_code == 200
    assert page.request["PATH_INFO"] == reverse("queues")


def test_somebody_without_a_role_is_told_to_ask_for_one(as_role: AsRole) -> None:
    page = as_role("nobody").get("/", follow=True)
    assert "You have no role yet" in page.content.decode()


def test_only_an_admin_opens_the_people_page_and_the_others_are_told_why(as_role: AsRole) -> None:
    assert as_role("admin").get(reverse("people")).status_code == 200
    for role in ("lead", "viewer"):
        page = as_role(role).get(reverse("people"))
        assert page.status_code == 403
        assert "Only admins" in page.content.decode()


def test_an_invited_person_chooses_a_password_before_anything_else(as_role: AsRole) -> None:
    page = as_role("admin").post(reverse("people"), {"username": "vera", "role": "viewer"})
    secret = page.context["secret"]
    assert secret in page.content.decode()
    assert secret not in as_role("admin").get(reverse("people")).content.decode()  # shown only once

    client = Client()
    assert log_in(client, "vera", secret) == 302
    assert client.get(reverse("system")).headers["Location"] == reverse("password")
    chosen = "an-evening-in-november"
    form = {"old_password": secret, "new_password1": chosen, "new_password2": chosen}
    assert client.post(reverse("password"), form).status_code == 302
    assert client.get(reverse("system")).status_code == 200  # the session continues
    assert not OneTimePassword.objects.exists()
    assert log_in(Client(), "vera", chosen) == 302
    assert log_in(Client(), "vera", secret) == 200


def test_a_one_time_password_is_asked_about_at_the_admins_login_too(as_role: AsRole, admin: User) -> None:
    _, secret = people.invite("second", "admin", by=admin)
    client = Client()
    client.post("/admin/login/", {"username": "second", "password": secret})
    assert client.get("/admin/").headers["Location"] == reverse("password")


def test_a_weak_new_password_is_refused_with_the_reason(as_role: AsRole) -> None:
    client = as_role("viewer")
    user = User.objects.get(username="viewer")
    user.set_password("before-this-evening")
    user.save()
    client.force_login(user)
    form = {"old_password": "before-this-evening", "new_password1": "12345", "new_password2": "12345"}
    page = client.post(reverse("password"), form)
    assert page.status_code == 200
    assert "too short" in page.content.decode()


@pytest.mark.parametrize(
    ("username", "role", "sentence"),
    [
        ("root", "viewer", "exists"),
        ("ROOT", "viewer", "exists"),
        ("with space", "viewer", "letters, digits"),
        ("", "viewer", "letters, digits"),
        ("<b>bold</b>", "viewer", "letters, digits"),
        ("n" * 151, "viewer", "at most 150"),
        ("new", "emperor", "Choose one of admin"),
    ],
)
def test_an_invitation_that_cannot_be_made_says_why_and_makes_nothing(
    admin: User, username: str, role: str, sentence: str
) -> None:
    client = Client()
    client.force_login(admin)
    page = client.post(reverse("people"), {"username": username, "role": role})
    assert page.status_code in (400, 409)
    assert sentence in page.content.decode()
    assert User.objects.count() == 1


def test_an_admin_changes_a_role_disables_and_lets_in_again(as_role: AsRole) -> None:
    client = as_role("admin")
    viewer = as_role("viewer")
    pk = User.objects.get(username="viewer").pk
    client.post(reverse("person-role", args=[pk]), {"role": "lead"})
    assert people.role_of(User.objects.get(pk=pk)) == "lead"
    assert viewer.get(reverse("system")).status_code == 200
    client.post(reverse("person-active", args=[pk]), {"active": "0"})
    assert viewer.get(reverse("system")).status_code == 302  # the session has ended
    client.post(reverse("person-active", args=[pk]), {"active": "1"})
    assert User.objects.get(pk=pk).is_active


def test_an_admin_cannot_take_the_role_from_themselves_nor_disable_themselves(admin: User) -> None:
    with pytest.raises(Refused, match="another admin"):
        people.set_role(admin, "viewer", by=admin)
    with pytest.raises(Refused, match="another admin"):
        people.set_active(admin, False, by=admin)


def test_taking_the_admin_role_away_takes_the_admin_pages_away(admin: User) -> None:
    people.make_admin("second")
    second = User.objects.get(username="second")
    people.set_role(second, "lead", by=admin)
    second.refresh_from_db()
    assert not second.is_staff
    assert not second.is_superuser


def test_a_lead_who_posts_to_the_people_pages_changes_nothing(as_role: AsRole) -> None:
    lead, pk = as_role("lead"), User.objects.create_user("vera").pk
    assert lead.post(reverse("person-role", args=[pk]), {"role": "admin"}).status_code == 403
    assert lead.post(reverse("person-password", args=[pk])).status_code == 403
    assert lead.post(reverse("people"), {"username": "x", "role": "admin"}).status_code == 403
    assert people.role_of(User.objects.get(pk=pk)) is None


def test_a_new_one_time_password_ends_the_sessions_and_the_token_of_its_owner(as_role: AsRole) -> None:
    viewer, pk = as_role("viewer"), User.objects.get(username="viewer").pk
    Token.objects.create(user_id=pk)
    assert viewer.get(reverse("system")).status_code == 200
    page = as_role("admin").post(reverse("person-password", args=[pk]))
    assert page.context["secret"] in page.content.decode()
    assert not Token.objects.exists()
    assert viewer.get(reverse("system")).status_code == 302


def test_logging_out_takes_a_post_and_a_token(as_role: AsRole) -> None:
    client = as_role("viewer")
    assert client.get(reverse("logout")).status_code == 405
    assert client.post(reverse("logout")).status_code == 302
    assert client.get(reverse("system")).status_code == 302


def test_a_form_without_a_csrf_token_is_refused_in_words() -> None:
    page = Client(enforce_csrf_checks=True).post(LOGIN, {"username": "x", "password": "y"})
    assert page.status_code == 403
    assert "form has expired" in page.content.decode()


def test_an_address_with_nothing_behind_it_says_what_to_do(as_role: AsRole, client: Client) -> None:
    page = as_role("viewer").get("/there/is/nothing/")
    assert page.status_code == 404
    assert "Page not found" in page.content.decode()
    assert client.get("/there/is/nothing/").status_code == 404


def test_a_host_that_is_not_ours_gets_the_400_page(client: Client) -> None:
    page = client.get(LOGIN, HTTP_HOST="elsewhere.example")
    assert page.status_code == 400
    assert "ALLOWED_HOSTS" in page.content.decode()


def test_the_500_page_stands_on_nothing_that_may_be_broken() -> None:
    from django.views.defaults import server_error

    page = server_error(RequestFactory().get("/"))
    assert page.status_code == 500
    assert "Server error" in page.content.decode()


def test_no_page_has_inline_script_or_style(as_role: AsRole) -> None:
    client = as_role("admin")
    for name in ("people", "password", "system", "compare", "chat", "checkpoints", "queues"):
        page = client.get(reverse(name))
        text = page.content.decode()
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        assert " style=" not in text, name
        assert "<style" not in text, name
        assert " onclick=" not in text, name
        assert "<script>" not in text, name
