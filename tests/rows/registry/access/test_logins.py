from functools import partial

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from registry.access import services
from registry.access.login import client_address
from registry.access.policies import Right
from registry.errors import NotAllowed
from registry.record.models import AuditRecord
from tests.support.factories import PASSWORD, a_person, an_actor
from tests.support.tables import cases
from tests.support.together import at_once

LOGIN = "/admin/login/"
pytestmark = pytest.mark.django_db


@pytest.fixture
def evaluated(monkeypatch):
    """Whose passwords were really looked at."""
    names = []
    real = ModelBackend.authenticate

    def authenticate(self, request, username=None, password=None, **more):
        names.append(username)
        return real(self, request, username=username, password=password, **more)

    monkeypatch.setattr(ModelBackend, "authenticate", authenticate)
    return names


@pytest.fixture
def ada():
    return a_person("viewer", username="ada")


def guess(client, times, **more):
    """The status of each guess."""
    return [log_in(client, "ada", f"guess-{number}", **more).status_code for number in range(times)]


def log_in(client, username, password, **more):
    return client.post(LOGIN, {"username": username, "password": password, "next": "/admin/"}, **more)


def test_a_locked_login_is_told_to_wait(client, evaluated, ada):
    assert guess(client, 30) == [200] * 9 + [429] * 21
    assert len(evaluated) == 10
    assert log_in(client, "ada", PASSWORD).status_code == 429, "the right password does not help now"
    assert log_in(client, "bob", "x").status_code == 200, "another name is not locked"


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_guesses_that_come_at_once_are_counted_too(evaluated, ada):
    clients = [Client() for _ in range(20)]

    at_once(partial(log_in, client, "ada", "guess") for client in clients)

    assert 1 <= len(evaluated) <= 10


def test_without_the_limit_every_guess_is_looked_at(client, evaluated, settings):
    settings.AXES_ENABLED = False
    a_person("viewer", username="ada")

    guess(client, 30)

    assert len(evaluated) == 30


def test_another_address_of_the_same_person_is_not_locked(client, evaluated, ada):
    guess(client, 12)

    assert log_in(client, "ada", PASSWORD, REMOTE_ADDR="192.0.2.7").status_code == 302


def test_a_good_login_forgets_the_failures(client, ada):
    guess(client, 9)

    assert log_in(client, "ada", PASSWORD).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_made_up_forwarding_headers_are_one_client(client, evaluated, ada):
    for number in range(15):
        log_in(client, "ada", f"guess-{number}", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")

    assert len(evaluated) == 10


def test_who_logs_in_arrives_at_the_home_page(client, ada):
    answer = client.post(LOGIN, {"username": "ada", "password": PASSWORD})

    assert answer["Location"] == "/admin/"


def test_no_password_reaches_the_attempts(client):
    log_in(client, "ada", "my-secret-guess")

    assert "my-secret-guess" not in str(AccessAttempt.objects.values())


def test_an_admin_unlocks(client, ada):
    guess(client, 12)
    attempt = AccessAttempt.objects.get()

    with pytest.raises(NotAllowed):
        services.unlock_login(attempt=attempt, by=an_actor(Right.READ))
    services.unlock_login(attempt=attempt, by=an_actor(Right.MANAGE_PEOPLE))

    assert log_in(client, "ada", PASSWORD).status_code == 302
    assert AuditRecord.objects.get(action="unlock_login").object_id == "ada"


def test_a_fresh_database_lets_nobody_in(client):
    assert not User.objects.exists()

    for username, password in [
        ("admin", "admin"), ("admin", "password"), ("admin", ""), ("root", "root"), ("", ""), ("approver", "approver"),
    ]:  # fmt: skip
        assert log_in(client, username, password).status_code == 200
        assert "_auth_user_id" not in client.session


@cases(
    "trusted, forwarded, address",
    no_proxy_believes_nothing=(0, "198.51.100.1", "10.0.0.9"),
    one_proxy=(1, "198.51.100.1", "198.51.100.1"),
    one_proxy_and_a_lie=(1, "203.0.113.5, 198.51.100.1", "198.51.100.1"),
    two_proxies_and_a_lie=(2, "203.0.113.5, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
    past_the_proxies=(2, "198.51.100.1", "10.0.0.9"),
    not_an_address=(1, "nonsense", "10.0.0.9"),
    one_spelling=(1, "2001:DB8::1", "2001:db8::1"),
    empty=(1, "", "10.0.0.9"),
)
def test_the_client_is_whom_the_outermost_trusted_proxy_saw(settings, trusted, forwarded, address):
    settings.TRUSTED_PROXIES = trusted
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.9", HTTP_X_FORWARDED_FOR=forwarded)

    assert client_address(request) == address
