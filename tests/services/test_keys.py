"""API keys: shown once, stored as a digest, limited, ended, rotated without a gap; every change in the audit log."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, inspect, text

from costmeter.core.access import ROLES, Grant
from costmeter.core.errors import ConflictError, ForbiddenError, InputError, NotFoundError
from costmeter.core.rate_limits import NO_LIMITS, Limits
from costmeter.services.check_key import check_key
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.limit_key import limit_key
from costmeter.services.revoke_key import revoke_key
from costmeter.services.rotate_key import rotate_key
from costmeter.store import api_keys, audit
from costmeter.store.engine import reading
from tests.make import NOW, at, top_up

LATER = at(NOW) + timedelta(days=1)


def grant_of(engine: Engine, key: str, when: str = NOW) -> Grant | None:
    with reading(engine) as connection:
        return check_key(connection, key, at(when))


def make(engine: Engine, name: str = "backend", *roles: str, **more: object) -> str:
    new = NewKey(name, roles or ("ingest",), **more)  # type: ignore[arg-type]
    return create_key(engine, new, by="root", now=at(NOW))[1]


def everything_stored(engine: Engine) -> str:
    """Every value of every table as text."""
    with engine.connect() as connection:
        tables = inspect(engine).get_table_names()
        return "\n".join(str(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}")))


def test_a_key_opens_what_it_was_made_for(engine: Engine) -> None:
    key = make(engine, "backend", "read", "ingest", accounts=["b", "a"], projects=["search"])

    assert grant_of(engine, key) == Grant("key backend", ("ingest", "read"), ("a", "b"), ("search",))


def test_its_secret_is_stored_nowhere(engine: Engine) -> None:
    key = make(engine)
    _, _, secret = key.split("_")

    assert len(secret) == 64
    assert secret not in everything_stored(engine)


@pytest.mark.parametrize(
    "wrong", ["", "cm_", "cm_x_y", "Bearer", "sk-0123456789abcdef", "cm_" + "0" * 16 + "_" + "0" * 64]
)
def test_another_text_opens_nothing(engine: Engine, wrong: str) -> None:
    make(engine)
    assert grant_of(engine, wrong) is None


def test_the_id_with_another_secret_opens_nothing(engine: Engine) -> None:
    key, other = make(engine), make(engine, "other")
    assert grant_of(engine, key[:20] + other[20:]) is None


def test_a_failed_knock_writes_nothing(engine: Engine) -> None:
    key = make(engine)
    before = everything_stored(engine)
    grant_of(engine, key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert everything_stored(engine) == before


def test_it_ends_at_its_expiry(engine: Engine) -> None:
    key = make(engine, expires_at=LATER)
    assert grant_of(engine, key, "2025-03-10T23:59:59Z") is not None
    assert grant_of(engine, key, "2025-03-11T00:00:00Z") is None


def test_a_revoked_one_opens_nothing(engine: Engine) -> None:
    key = make(engine)
    revoke_key(engine, "backend", by="root", reason="leaked", now=at(NOW))
    assert grant_of(engine, key) is None
    with pytest.raises(NotFoundError, match="no active key 'backend'; see: costmeter keys list"):
        revoke_key(engine, "backend", by="root", now=at(NOW))


def test_rotating_leaves_no_gap(engine: Engine) -> None:
    old = make(engine, "backend", "read", accounts=["a"])
    key, new = rotate_key(engine, "backend", overlap=timedelta(hours=24), by="root", now=at(NOW))

    assert grant_of(engine, old) == grant_of(engine, new) == Grant("key backend", ("read",), ("a",), None)
    assert grant_of(engine, old, "2025-03-11T00:00:00Z") is None
    assert grant_of(engine, new, "2035-03-11T00:00:00Z") is not None
    assert key.expires_at is None


def test_a_rotated_key_lives_as_long_as_the_old_one_did(engine: Engine) -> None:
    make(engine, expires_at=at(NOW) + timedelta(days=90))
    key, _ = rotate_key(engine, "backend", overlap=timedelta(hours=1), by="root", now=LATER)
    assert key.expires_at == LATER + timedelta(days=90)


def test_rotating_never_lengthens_the_life_of_the_old_one(engine: Engine) -> None:
    old = make(engine, expires_at=at(NOW) + timedelta(minutes=5))
    rotate_key(engine, "backend", overlap=timedelta(hours=24), by="root", now=at(NOW))
    assert grant_of(engine, old, "2025-03-10T00:05:00Z") is None


def test_one_active_key_has_a_name(engine: Engine) -> None:
    make(engine)
    with pytest.raises(
        ConflictError, match="an active key has this name; choose another, or rotate or revoke that one"
    ):
        make(engine)
    revoke_key(engine, "backend", by="root", now=at(NOW))
    make(engine)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"roles": ["boss"]}, "role 'boss': use one or more of ingest, call, read, finance, admin"),
        ({"roles": []}, "role: is missing"),
        ({"accounts": []}, "account: names none; leave accounts out for all of them"),
        ({"accounts": [" a"]}, "account ' a': an account is named by 1 to 64 printable characters"),
        ({"projects": [""]}, "project '': write 1 to 256 characters"),
        ({"name": " "}, "name ' ': write 1 to 256 characters"),
        ({"roles": ["call"], "limits": Limits(0)}, "calls_per_minute 0: write a whole number from 1 to 100000"),
        ({"roles": ["call"], "limits": Limits(None, True)}, "calls_at_once True: write a whole number from 1"),
        ({"limits": Limits(1)}, "calls_per_minute 1: limits calls through the gateway; give the key the role call"),
        ({"expires_at": at(NOW)}, "expires_at '2025-03-10T00:00:00Z': must be after now, 2025-03-10T00:00:00Z"),
    ],
)
def test_what_cannot_be_is_refused_by_name(engine: Engine, more: dict[str, object], says: str) -> None:
    new = NewKey("backend", ["ingest"])._replace(**more)  # type: ignore[arg-type]
    with pytest.raises(InputError) as refused:
        create_key(engine, new, by="root", now=at(NOW))
    assert says in str(refused.value)
    with reading(engine) as connection:
        assert api_keys.listed(connection) == []


class TestLimits:
    """How fast a key may call through the gateway: made with it, set anew without a new key, kept when it rotates."""

    def limits_of(self, engine: Engine) -> list[Limits]:
        with reading(engine) as connection:
            return [key.limits() for key in api_keys.listed(connection)]

    def test_a_key_has_none_unless_it_is_given_some(self, engine: Engine) -> None:
        make(engine, "a", "call")
        make(engine, "b", "admin", limits=Limits(60, 4))
        assert self.limits_of(engine) == [NO_LIMITS, Limits(60, 4)]

    def test_a_new_one_has_those_of_the_key_that_it_replaces(self, engine: Engine) -> None:
        make(engine, "backend", "call", limits=Limits(60, 4))
        rotate_key(engine, "backend", overlap=timedelta(hours=1), by="root", now=at(NOW))
        assert self.limits_of(engine) == [Limits(60, 4)] * 2

    def test_they_are_set_anew_for_all_active_keys_of_a_name(self, engine: Engine) -> None:
        make(engine, "backend", "call", limits=Limits(60, 4))
        make(engine, "other", "call", limits=Limits(1))
        rotate_key(engine, "backend", overlap=timedelta(hours=1), by="root", now=at(NOW))
        limited = limit_key(engine, "backend", Limits(None, 8), by="ops", now=at(NOW))
        assert [key.limits() for key in limited] == [Limits(None, 8)] * 2
        assert self.limits_of(engine) == [Limits(None, 8), Limits(None, 8), Limits(1)]
        with reading(engine) as connection:
            told = audit.listed(connection, limit=2)
        assert [(one.action, one.by_whom, one.change["calls_at_once"]) for one in told] == [("key.limit", "ops", 8)] * 2

    def test_what_may_not_call_has_none(self, engine: Engine) -> None:
        make(engine, "backend", "ingest")
        with pytest.raises(InputError, match="calls_at_once 1: limits calls through the gateway"):
            limit_key(engine, "backend", Limits(None, 1), by="ops", now=at(NOW))
        with pytest.raises(NotFoundError):
            limit_key(engine, "nobody", NO_LIMITS, by="ops", now=at(NOW))


def test_the_audit_log_says_who_when_what_and_why(engine: Engine) -> None:
    make(engine)
    rotate_key(engine, "backend", overlap=timedelta(0), by="ops", now=at(NOW))
    revoke_key(engine, "backend", by="ops", reason="leaked", now=at(NOW))
    top_up(engine, "5.00", NOW)
    with reading(engine) as connection:
        found = audit.listed(connection, limit=10)
        of_account = audit.listed(connection, ["default"], limit=10)
    assert [(one.action, one.by_whom, one.subject, one.reason) for one in found] == [
        ("credit.add", "finance", "credit 1", None),
        ("key.revoke", "ops", "backend", "leaked"),
        ("key.rotate", "ops", "backend", None),
        ("key.create", "root", "backend", None),
    ]
    assert [one.change["amount"] for one in of_account] == ["5.00"]


class TestGrant:
    """What is meant where a request leaves account or project out, and what a limited key does not see."""

    ALL, ONE, TWO = Grant("x", ("read",)), Grant("x", ("read",), ("a",)), Grant("x", ("read",), ("a", "b"))

    def test_the_only_account_is_meant(self) -> None:
        assert (self.ALL.account(None), self.ONE.account(None), self.TWO.account("b")) == (None, "a", "b")

    @pytest.mark.parametrize(("grant", "asked"), [(ONE, "b"), (TWO, "c"), (TWO, None)])
    def test_another_is_forbidden(self, grant: Grant, asked: str | None) -> None:
        with pytest.raises(ForbiddenError):
            grant.account(asked)

    def test_who_sees_some_projects_sees_no_whole_account(self) -> None:
        with pytest.raises(ForbiddenError, match="sees projects search only"):
            Grant("x", ("finance",), None, ("search",)).whole_account("a")

    def test_roles_hold_each_other(self) -> None:
        may = {role: [other for other in ROLES if Grant("x", (role,)).may(other)] for role in ROLES}
        assert may == {
            "ingest": ["ingest"],
            "call": ["call"],
            "read": ["read"],
            "finance": ["read", "finance"],
            "admin": ["ingest", "call", "read", "finance", "admin"],
        }
