"""`costmeter account`: currency and time zone can be changed until the first entry fixes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.cli.running import Run, words, write
from tests.make import an_event

SHOWN = ("account", "currency", "timezone", "created_at", "frozen_at")


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
    headings = ["account", "currency", "time", "zone", "created", "frozen"]
    assert run("account", "list").done.splitlines()[1].split() == headings


def test_an_account_shows_what_it_has_and_owes(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("credit add --kind granted --amount 1.00 --effective-at 2025-03-01T00:00:00Z"))
    run("record", write(tmp_path / "calls.ndjson", an_event()))

    shown = run("account", "show", "default", "--json").json

    assert tuple(shown) == (*SHOWN, "tracked_from", "credits", "overdraft", "entries_to", "unposted", "freezes")
    values = ["2025-03-01T00:00:00Z", 1, "0.10", 2, 0, []]
    assert list(shown.values())[5:] == values
    assert "overdraft     0.10\n" in run("account", "show", "default").done


def test_an_account_without_credits_is_shown_as_not_tracked(run: Run, sqlite: str) -> None:
    run("account", "add", "team")

    assert run("account", "show", "team", "--json").json["tracked_from"] is None
    assert "tracked from  not tracked: it has no credit\n" in run("account", "show", "team").done


def test_an_account_that_is_not_there_is_refused(run: Run, sqlite: str) -> None:
    says = "no account 'nobody'; it is made at its first call or credit, or by: costmeter account add"
    assert run("account", "show", "nobody").refused == says


class TestFrozen:
    """An account whose ledger failed verify says so wherever its figures are shown."""

    NOTE = "costmeter: account default is frozen since {}, as its ledger failed verify: its calls are recorded and not "
    NOTE += "posted; see: costmeter account show default\n"

    @pytest.fixture
    def frozen(self, run: Run, database: str, engine: Engine, tmp_path: Path) -> str:
        """Since when; a call waits."""
        run(*words("credit add --kind granted --amount 1.00 --effective-at 2025-03-01T00:00:00Z"))
        with engine.begin() as connection:
            connection.execute(text("UPDATE credit_balance SET remaining = 5"))
        assert run("verify").code == 1
        run("record", write(tmp_path / "calls.ndjson", an_event()))
        (account,) = run("account", "list", "--json").json
        return str(account["frozen_at"])

    def test_every_figure_says_so(self, run: Run, frozen: str, tmp_path: Path) -> None:
        note = self.NOTE.format(frozen)
        for command in ("report --month 2025-03", "report --month 2025-03 --json", "export charges --month 2025-03"):
            ran = run(*words(command))
            assert (ran.code, ran.err) == (0, note)
        ran = run("balance")
        assert (ran.code, ran.err) == (0, f"costmeter: 1 calls are not posted yet and not in this balance\n{note}")
        ran = run("record", write(tmp_path / "more.ndjson", an_event("b"), an_event("c", account="team")))
        assert (ran.code, ran.err) == (0, note)
        assert run("report", "--month", "2025-03", "--account", "team").err == ""
        assert run("flush").err == note
        assert run("doctor").code == 1
        assert f"no    ledger: {note.removeprefix('costmeter: ')}" in run("doctor").out

    def test_it_is_shown_with_the_reason(self, run: Run, frozen: str) -> None:
        shown = run("account", "show", "default", "--json").json
        assert (shown["frozen_at"], shown["unposted"]) == (frozen, 1)
        (freeze,) = shown["freezes"]
        assert (freeze["number"], freeze["kind"], freeze["decided_by"]) == (1, "frozen", "verify")
        assert freeze["reason"].startswith("promise 6: credit 1 is kept as CreditBalance(")
        told = run("account", "show", "default").done
        assert f"frozen at     {frozen}\n" in told
        assert f"frozen        {frozen} by verify: promise 6: " in told
        assert frozen in run("account", "list").done

    def test_a_credit_is_refused(self, run: Run, frozen: str) -> None:
        says = f"account 'default' is frozen since {frozen}, as its ledger failed verify: nothing is posted to it; "
        refused = run(*words("credit add --kind granted --amount 1.00")).refused
        assert refused == says + "see: costmeter account show default"

    def test_it_is_released_by_name_and_reason_and_goes_on(self, run: Run, frozen: str) -> None:
        told = run("account", "release", "default", "--by", "Ada", "--reason", "looked at").done
        assert told == "released account default: 1 calls that waited are posted\n"

        shown = run("account", "show", "default", "--json").json
        assert (shown["frozen_at"], shown["unposted"]) == (None, 0)
        released = shown["freezes"][1]
        assert (released["kind"], released["decided_by"], released["reason"]) == ("released", "Ada", "looked at")
        assert run("verify", "--json").json == {"charges": 1, "findings": [], "frozen": []}
        assert run("balance", "--at", "2025-03-31T00:00:00Z", "--json").json["balance_infos"][0] == {
            "currency": "USD",
            "total_balance": "-0.10",
            "granted_balance": "0.00",
            "topped_up_balance": "-0.10",
        }

    def test_what_is_not_frozen_is_not_released(self, run: Run, sqlite: str) -> None:
        run("account", "add", "team")
        answer = ("--by", "Ada", "--reason", "looked at")
        assert run("account", "release", "team", *answer).refused == (
            "account 'team': is not frozen; there is nothing to release"
        )
        assert run("account", "release", "nobody", *answer).refused.startswith("no account 'nobody'; ")
        assert run("account", "release", "team", "--by", "Ada").refused.startswith("Missing option '--reason'.")
