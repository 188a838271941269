"""`costmeter account`: currency and time zone can be changed until the first entry fixes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Run, words, write
from tests.make import an_event

SHOWN = ("account", "currency", "timezone", "created_at")


def test_an_account_is_added_with_currency_and_time_zone(run: Run, database: str) -> None:
    assert run("account", "add", "a").done == "added account a: USD, UTC\n"
    added = run("account", "add", "b", "--currency", "CNY", "--timezone", "Asia/Shanghai", "--json").json

    assert tuple(added) == (*SHOWN, "created")
    assert [added[name] for name in ("account", "currency", "timezone", "created")] == [
        "b",
        "CNY",
        "Asia/Shanghai",
        True,
    ]
    assert added["created_at"].endswith("Z")


def test_it_can_be_changed_until_its_first_entry(run: Run, database: str, tmp_path: Path) -> None:
    run("account", "add", "team")
    assert run("account", "add", "team", "--currency", "CNY").done == "kept account team: CNY, UTC\n"
    assert (
        run("account", "add", "team", "--timezone", "Asia/Shanghai").done == "kept account team: CNY, Asia/Shanghai\n"
    )
    run("record", write(tmp_path / "calls.ndjson", an_event(account="team")))

    fixed = "account 'team': is kept in CNY and Asia/Shanghai since its first entry; add another"
    assert run("account", "add", "team", "--currency", "USD").refused == fixed
    assert run("account", "add", "team", "--timezone", "UTC").refused == fixed
    assert run("account", "add", "team", "--currency", "CNY").done == "kept account team: CNY, Asia/Shanghai\n"
    assert run("account", "add", "team").done == "kept account team: CNY, Asia/Shanghai\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x" * 65], f"account '{'x' * 65}': an account is named by 1 to 64 printable characters"),
        ([""], "account '': an account is named by 1 to 64 printable characters"),
        (["a\nb"], "account 'a\\nb': an account is named by 1 to 64 printable characters"),
        (["a", "--currency", "eur"], "currency 'eur': use one of USD, CNY"),
        (["a", "--timezone", "CST-8"], "timezone 'CST-8': is no IANA time zone; use one such as UTC or Asia/Shanghai"),
    ],
)
def test_what_cannot_be_an_account_is_refused(run: Run, sqlite: str, arguments: list[str], says: str) -> None:
    assert run("account", "add", *arguments).refused == says
    assert run("account", "list", "--json").json == []


def test_the_list_has_every_account_by_name(run: Run, database: str) -> None:
    for name in ("b", "a", "Ä"):
        run("account", "add", name)

    listed = run("account", "list", "--json").json
    assert [tuple(account) for account in listed] == [SHOWN] * 3
    assert {account["account"] for account in listed} == {"a", "b", "Ä"}
    assert run("account", "list").done.splitlines()[1].split() == ["account", "currency", "time", "zone", "created"]


def test_an_account_shows_what_it_has_and_owes(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("credit add --kind granted --amount 1.00 --effective-at 2025-03-01T00:00:00Z"))
    run("record", write(tmp_path / "calls.ndjson", an_event()))

    shown = run("account", "show", "default", "--json").json

    assert tuple(shown) == (*SHOWN, "tracked_from", "credits", "overdraft", "entries_to", "unposted")
    values = ["2025-03-01T00:00:00Z", 1, "0.10", 2, 0]
    assert list(shown.values())[4:] == values
    assert "overdraft     0.10\n" in run("account", "show", "default").done


def test_an_account_without_credits_is_shown_as_not_tracked(run: Run, sqlite: str) -> None:
    run("account", "add", "team")

    assert run("account", "show", "team", "--json").json["tracked_from"] is None
    assert "tracked from  not tracked: it has no credit\n" in run("account", "show", "team").done


def test_an_account_that_is_not_there_is_refused(run: Run, sqlite: str) -> None:
    says = "no account 'nobody'; it is made at its first call or credit, or by: costmeter account add"
    assert run("account", "show", "nobody").refused == says
