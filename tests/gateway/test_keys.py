"""Who enters with which key, whose the call is then, and which of DeepSeek's keys it is made with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from costmeter.core.access import ADMIN, CALL, ROLES
from costmeter.gateway.vendor_keys import VendorKeys
from costmeter.services.revoke_key import revoke_key
from costmeter.services.rotate_key import rotate_key
from tests.gateway.keyed import CHAT, MESSAGES, VENDOR, Keyed, keyed, refusal
from tests.recorder.conftest import Records, TestClock
from tests.recorder.replay import ReplayServer

CALLS = [CHAT, "/v1/chat/completions", "/beta/completions", "/responses", MESSAGES]
NO_KEY = (401, "costmeter_wrong_key")
FORBIDDEN = (403, "costmeter_forbidden")


@pytest.fixture
def gateway(sqlite_url: str, server: ReplayServer, records: Records, clock: TestClock) -> Iterator[Keyed]:
    """For what does not depend on the database."""
    with keyed(sqlite_url, server, records, clock) as made:
        yield made


@pytest.fixture
def on_both(database_url: str, server: ReplayServer, records: Records, clock: TestClock) -> Iterator[Keyed]:
    with keyed(database_url, server, records, clock) as made:
        yield made


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("bare", [False, True], ids=["bearer", "x-api-key"])
def test_a_key_enters_in_either_header_and_the_vendors_takes_its_place(gateway: Keyed, path: str, bare: bool) -> None:
    key = gateway.key()
    assert gateway.ask(key, path, bare=bare).status_code == 200
    ((_, sent, _),) = gateway.server.requests
    alone = bare and path == MESSAGES  # elsewhere DeepSeek does not look there
    assert (sent.get("x-api-key"), sent.get("authorization")) == (
        (VENDOR, None) if alone else (None, f"Bearer {VENDOR}")
    )
    assert key not in str(sent)
    record = gateway.records.one()
    assert (record["api_key"], record.get("account"), record.get("project")) == ("backend", "default", None)


def test_what_else_an_sdk_sends_in_the_other_header_does_not_matter(gateway: Keyed) -> None:
    key = gateway.key()
    several: list[dict[str, str | bytes]] = [
        {"authorization": f"Bearer {key}", "x-api-key": "sk-something"},
        {"authorization": "Bearer sk-something", "x-api-key": key},
        {"authorization": f"bearer  {key}"},
    ]
    for headers in several:
        assert gateway.send(headers, MESSAGES).status_code == 200
    assert "sk-something" not in str(gateway.server.requests)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        b"x",
        b"sk-0123456789abcdef0123456789abcdef",
        b"cm_",
        b"cm_x_y",
        b"\xff",
        b"cm_%b_%b" % (b"0" * 16, b"0" * 64),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_another_text_enters_nowhere(gateway: Keyed, wrong: bytes | None, bare: bool) -> None:
    gateway.key()
    headers: dict[str, str | bytes] = {}
    if wrong is not None:
        headers = {"x-api-key": wrong} if bare else {"authorization": b"Bearer " + wrong}
    for method, path in (("POST", CHAT), ("POST", MESSAGES), ("GET", "/models"), ("GET", "/user/balance")):
        answer = gateway.send(headers, path, method)
        assert refusal(answer) == NO_KEY
        assert answer.json()["error"]["type"] == "authentication_error"
    assert gateway.server.requests == []
    assert gateway.records.all() == []


def test_the_id_of_a_key_with_another_secret_enters_nowhere(on_both: Keyed) -> None:
    key, other = on_both.key(), on_both.key("other")
    assert on_both.ask(key).status_code == 200
    assert refusal(on_both.ask(key[:20] + other[20:])) == NO_KEY


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_calling_needs_its_role(gateway: Keyed, role: str, path: str) -> None:
    answer = gateway.ask(gateway.key("backend", role), path)
    if role in (CALL, ADMIN):
        assert answer.status_code == 200
        return
    assert refusal(answer) == FORBIDDEN
    assert f"key backend has {role}; calling DeepSeek needs call" in answer.json()["error"]["message"]
    assert gateway.server.requests == []
    assert gateway.records.all() == []


@pytest.mark.parametrize("path", ["/user/balance", "/v1/files", "/models/../user/balance", "/%75ser/balance"])
def test_what_is_the_vendors_own_is_for_admins(gateway: Keyed, path: str) -> None:
    assert refusal(gateway.ask(gateway.key("backend", "call", "read"), path, method="GET")) == FORBIDDEN
    assert gateway.server.requests == []
    assert gateway.ask(gateway.key("root", "admin"), path, method="GET").status_code == 200


def test_models_and_counts_of_tokens_are_for_all_who_call(gateway: Keyed) -> None:
    key = gateway.key()
    assert gateway.ask(key, "/models", method="GET").status_code == 200
    assert gateway.ask(key, "/anthropic/v1/messages/count_tokens", bare=True).status_code == 200
    assert [sent.get("x-api-key") for _, sent, _ in gateway.server.requests] == [None, VENDOR]
    assert gateway.records.all() == []


GRANTED: list[tuple[list[str] | None, str | None, str | None]] = [
    # what the key has, what the header asks for, and what it comes to; None is refused
    (None, None, "default"),
    (None, "a", "a"),
    (["a"], None, "a"),
    (["a"], "a", "a"),
    (["a"], "b", None),
    (["a"], "default", None),
    (["a", "b"], "b", "b"),
    (["a", "b"], "c", None),
    (["a", "b"], None, None),
]


@pytest.mark.parametrize(("has", "asked", "comes"), GRANTED)
def test_the_key_says_which_accounts_its_calls_may_be_of(
    gateway: Keyed, has: list[str] | None, asked: str | None, comes: str | None
) -> None:
    said = {} if asked is None else {"account": asked}
    answer = gateway.ask(gateway.key(accounts=has), said=said)
    if comes is None:
        assert refusal(answer) == FORBIDDEN
        assert gateway.server.requests == []
        assert gateway.records.all() == []
    else:
        assert answer.status_code == 200
        assert gateway.records.one()["account"] == comes


@pytest.mark.parametrize(("has", "asked", "comes"), [*GRANTED[1:], (None, None, "")])
def test_and_of_which_projects(gateway: Keyed, has: list[str] | None, asked: str | None, comes: str | None) -> None:
    said = {} if asked is None else {"project": asked}
    answer = gateway.ask(gateway.key(projects=has), said=said)
    if comes is None:
        assert refusal(answer) == FORBIDDEN
    else:
        assert answer.status_code == 200
        assert gateway.records.one().get("project") == (comes or None)


@pytest.mark.parametrize("said", [{"account": "a" * 65}, {"account": "%ff"}, {"account": "%00"}, {"project": "%ff"}])
def test_whose_a_call_is_is_not_guessed(gateway: Keyed, said: dict[str, str]) -> None:
    answer = gateway.ask(gateway.key(), said=said)
    assert refusal(answer) == (400, "costmeter_bad_header")
    assert next(iter(said)) in answer.json()["error"]["message"]
    assert gateway.records.all() == []


def test_headers_say_who_uses_it_and_never_by_which_key(gateway: Keyed) -> None:
    gateway.ask(gateway.key(), said={"user": "u-17", "tags": "team=a", "api-key": "somebody-else"})
    record = gateway.records.one()
    assert (record["user"], record["tags"], record["api_key"]) == ("u-17", {"team": "a"}, "backend")
    ((_, sent, _),) = gateway.server.requests
    assert not [name for name in sent if name.startswith("x-costmeter-")]


def test_accounts_have_keys_of_their_own(
    sqlite_url: str, server: ReplayServer, records: Records, clock: TestClock
) -> None:
    vendor = VendorKeys({"a": "sk-of-account-a", "b": "sk-of-account-b"})
    with keyed(sqlite_url, server, records, clock, vendor=vendor) as gateway:
        key = gateway.key()
        for account in ("a", "b", "a"):
            assert gateway.ask(key, said={"account": account}).status_code == 200
        sent = [headers["authorization"] for _, headers, _ in server.requests]
        assert sent == ["Bearer sk-of-account-a", "Bearer sk-of-account-b", "Bearer sk-of-account-a"]
        refused = gateway.ask(key, said={"account": "c"})
        assert refusal(refused) == (403, "costmeter_no_vendor_key")
        assert "account 'c' has no key of DeepSeek's" in refused.json()["error"]["message"]
        assert [record["account"] for record in records.all()] == ["a", "b", "a"]


class TestEnding:
    """When a key ends it is refused within a second."""

    def test_revoked(self, on_both: Keyed) -> None:
        key = on_both.key()
        assert on_both.ask(key).status_code == 200
        revoke_key(on_both.engine, "backend", by="root", now=on_both.clock.now())
        on_both.clock.advance(1.0)
        assert refusal(on_both.ask(key)) == NO_KEY

    def test_expired(self, on_both: Keyed) -> None:
        key = on_both.key(expires_at=on_both.clock.now() + timedelta(seconds=0.5))
        assert on_both.ask(key).status_code == 200
        on_both.clock.advance(0.5)
        assert refusal(on_both.ask(key)) == NO_KEY

    def test_rotated(self, on_both: Keyed) -> None:
        old = on_both.key()
        assert on_both.ask(old).status_code == 200
        now = on_both.clock.now()
        _, new = rotate_key(on_both.engine, "backend", overlap=timedelta(hours=1), by="root", now=now)
        on_both.clock.advance(3599)
        assert [on_both.ask(key).status_code for key in (old, new)] == [200, 200]
        on_both.clock.advance(1)
        assert [on_both.ask(key).status_code for key in (old, new)] == [401, 200]
        assert {record["api_key"] for record in on_both.records.all()} == {"backend"}

    def test_a_role_that_was_never_there_is_not_remembered(self, on_both: Keyed) -> None:
        assert refusal(on_both.ask(on_both.key("a", "ingest"))) == FORBIDDEN
        assert on_both.ask(on_both.key("b", "call")).status_code == 200


def test_many_who_come_at_once_are_all_told(on_both: Keyed) -> None:
    good, wrong = [on_both.key(f"k{n}") for n in range(5)], [f"cm_{n:016x}_{n:064x}" for n in range(40)]
    found: dict[str, list[int]] = {key: [] for key in good + wrong}

    def ask(key: str) -> None:
        found[key].append(on_both.ask(key).status_code)

    threads = [threading.Thread(target=ask, args=(key,)) for key in good * 8 + wrong]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {status for key in good for status in found[key]} == {200}
    assert {status for key in wrong for status in found[key]} == {401}
    assert len(on_both.records.all()) == 40
