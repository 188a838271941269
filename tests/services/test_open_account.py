"""Accounts that are opened in mid-life, worked out by hand. A call costs 1.10 USD."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import ConflictError, InputError
from costmeter.services.open_account import Opening, open_account
from costmeter.services.verify import verify
from costmeter.store import accounts
from costmeter.store.accounts import Home
from costmeter.store.credits import BookedCredit
from costmeter.store.engine import reading
from costmeter.store.statements import read_statement
from costmeter.store.tables import AuditRow, CreditRow, EntryRow
from tests.make import NOW, an_event, at, balance, counted, record_and_post, rows, splits, usd
from tests.services.invariants import check_books

OPENING = "2025-03-03T00:00:00Z"
NOTHING = "0.00"


@pytest.fixture(autouse=True)
def _books_hold(engine: Engine) -> Iterator[None]:
    yield
    check_books(engine)
    assert verify(engine, full=True) == []


def opened(
    engine: Engine, granted: str = "2.00", topped_up: str = "5.00", ends: str | None = None
) -> tuple[list[BookedCredit], bool]:
    opening = Opening("default", at(OPENING), usd(granted), usd(topped_up), None if ends is None else at(ends))
    return open_account(engine, opening, by="Ada", home=Home(), now=at(NOW))


def test_calls_from_then_on_are_deducted_and_those_before_are_not(engine: Engine) -> None:
    record_and_post(engine, an_event("before", "2025-03-02T12:00:00Z"), an_event("after", "2025-03-04T12:00:00Z"))
    opened(engine)
    assert splits(engine) == {
        "before": (NOTHING, NOTHING, NOTHING, "1.10"),
        "after": ("1.10", NOTHING, NOTHING, NOTHING),
    }
    assert balance(engine) == ("0.90", "5.00")
    with reading(engine) as connection:
        shape = read_statement(connection, accounts.get(connection, "default"), "2025-03", at(NOW)).as_dict()
    assert [(row["kind"], row["granted"], row["topped_up"]) for row in shape["movements"]] == [
        ("opening", "2.00", "5.00"), ("usage", "-1.10", NOTHING),
    ]  # fmt: skip
    assert [row["origin"] for row in shape["credits"]] == ["opening", "opening"]
    assert [row["action"] for row in rows(engine, AuditRow)].count("account.open") == 1


def test_opened_again_so_it_is_kept_and_otherwise_refused(engine: Engine) -> None:
    first, made = opened(engine)
    assert made
    before = counted(engine, CreditRow, EntryRow, AuditRow)
    assert opened(engine) == (first, False)
    for granted, topped_up in (("2.00", "5.01"), ("2.00", "0"), ("0", "5.00")):
        with pytest.raises(ConflictError, match="nothing was changed"):
            opened(engine, granted, topped_up)
    assert counted(engine, CreditRow, EntryRow, AuditRow) == before


def test_what_was_granted_may_expire(engine: Engine) -> None:
    opened(engine, ends="2025-03-05T00:00:00Z")
    record_and_post(engine, an_event("later", "2025-03-06T12:00:00Z"))
    assert splits(engine)["later"] == (NOTHING, "1.10", NOTHING, NOTHING)


@pytest.mark.parametrize(
    ("granted", "topped_up", "found"),
    [("0", "0", "tracked from its first credit"), ("-1.00", "5.00", "granted"), ("0", "-0.02", "topped_up")],
)
def test_it_opens_with_what_it_has(engine: Engine, granted: str, topped_up: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        opened(engine, granted, topped_up)
