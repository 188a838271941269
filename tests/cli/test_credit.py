"""`costmeter credit`: once with a reference, always without; what contradicts itself or the books is refused."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from tests.cli.running import Run, words, write
from tests.make import an_event

GIFT = words("credit add --kind granted --amount 5.00 --effective-at 2025-03-01T00:00:00Z --reference gift")
CREDIT = ("credit_id", "kind", "amount", "currency", "effective_at", "expires_at", "reference", "origin", "voided")


def test_a_credit_is_added_and_told(run: Run, database: str) -> None:
    assert run(*GIFT).done == "added 5.00 USD granted for account default\n"
    assert run("credit", "add", "--kind", "topped_up", "--amount", "100", "--account", "team").done == (
        "added 100.00 USD topped_up for account team\n"
    )


def test_the_json_of_a_credit_says_all_of_it(run: Run, database: str) -> None:
    added = run(*GIFT, "--expires-at", "2025-04-01T08:00:00+08:00", "--json").json

    assert tuple(added) == (*CREDIT, "account", "created")
    assert added == {
        "credit_id": 1,
        "kind": "granted",
        "amount": "5.00",
        "currency": "USD",
        "effective_at": "2025-03-01T00:00:00Z",
        "expires_at": "2025-04-01T00:00:00Z",
        "reference": "gift",
        "origin": "credit",
        "voided": None,
        "account": "default",
        "created": True,
    }


def test_with_a_reference_it_is_booked_once(run: Run, database: str) -> None:
    run(*GIFT)

    assert run(*GIFT).done == "kept, was added before: 5.00 USD granted for account default\n"
    assert run(*GIFT, "--json").json["created"] is False
    assert run("balance", "--json").json["balance_infos"][0]["total_balance"] == "5.00"


def test_without_a_reference_it_is_booked_every_time(run: Run, database: str) -> None:
    for _ in range(2):
        run("credit", "add", "--kind", "topped_up", "--amount", "0.000000000001")

    assert run("balance", "--json").json["balance_infos"][0]["total_balance"] == "0.000000000002"


@pytest.mark.parametrize(
    "other",
    [
        ["--amount", "5.01"],
        ["--kind", "topped_up"],
        ["--effective-at", "2025-03-02T00:00:00Z"],
        ["--expires-at", "2025-04-01T00:00:00Z"],
    ],
)
def test_the_same_reference_with_other_content_changes_nothing(run: Run, database: str, other: list[str]) -> None:
    run(*GIFT)
    before = run("credit", "list", "--json").json

    says = "reference 'gift': was used before for another credit; nothing was changed"
    assert run(*GIFT, *other).refused == says
    assert run("credit", "list", "--json").json == before


def test_another_currency_is_refused(run: Run, database: str) -> None:
    run(*GIFT)

    says = "currency 'CNY': account 'default' is kept in USD; two currencies are never summed"
    assert run("credit", "add", "--kind", "granted", "--amount", "1", "--currency", "CNY").refused == says


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--kind gift --amount 1", "kind 'gift': use one of granted, topped_up"),
        ("--kind granted --amount 1e3", "amount '1e3': write a decimal string without exponent, such as \"5.00\""),
        ("--kind granted --amount 0", "amount "),
        ("--kind granted --amount -1", "amount "),
        (
            "--kind granted --amount 0.0000000000001",
            "amount '0.0000000000001': finer than 10^-12, the unit of the ledger; round it at its source",
        ),
        (
            "--kind granted --amount 9223373",
            "amount '9223373': one amount is at most 9223372.036854775807; split it",
        ),
        ("--kind granted --amount 1 --currency EUR", "currency 'EUR': use one of USD, CNY"),
        (
            "--kind granted --amount 1 --effective-at 2025-03-01T00:00:00",
            "effective_at '2025-03-01T00:00:00': has no time zone; add Z or an offset such as +08:00",
        ),
        (
            "--kind granted --amount 1 --effective-at 2025-03-02T00:00:00Z --expires-at 2025-03-01T00:00:00Z",
            "expires_at '2025-03-01T00:00:00Z': must be after effective_at 2025-03-02T00:00:00Z",
        ),
        (
            "--kind granted --amount 1 --effective-at 2025-03-01T00:00:00Z --expires-at 2025-03-01T00:00:00Z",
            "expires_at '2025-03-01T00:00:00Z': must be after effective_at 2025-03-01T00:00:00Z",
        ),
        (
            "--kind topped_up --amount 1 --expires-at 2099-01-01T00:00:00Z",
            "expires_at '2099-01-01T00:00:00Z': topped-up balance does not expire; leave it out",
        ),
        ("--kind granted --amount 1 --account .", None),
        ("--kind granted --amount 1 --account", "Option '--account' requires an argument."),
    ],
)
def test_a_credit_that_cannot_be_is_refused_and_makes_no_account(
    run: Run, sqlite: str, options: str, says: str | None
) -> None:
    ran = run("credit", "add", *options.split())

    if says is None:
        assert ran.done == "added 1.00 USD granted for account .\n"
    else:
        assert ran.refused.startswith(says)
        assert run("account", "list", "--json").json == []


def test_an_instant_left_empty_is_no_instant_and_not_none(run: Run, sqlite: str) -> None:
    for option in ("--effective-at", "--expires-at"):
        refused = run("credit", "add", "--kind", "granted", "--amount", "1", option, "").refused
        assert refused.startswith(f"{option[2:].replace('-', '_')} '': write an RFC 3339 instant")


def test_a_credit_entered_late_pays_what_it_would_have_paid(run: Run, database: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event()))  # 1.10, untracked so far

    assert run(*GIFT).done == "added 5.00 USD granted for account default\n"
    assert run("balance", "--json").json["balance_infos"][0]["total_balance"] == "3.90"


def test_the_list_says_what_each_credit_has_left(run: Run, database: str, tmp_path: Path) -> None:
    run(*GIFT, "--expires-at", "2025-04-01T00:00:00Z")
    run(*words("credit add --kind topped_up --amount 1.00 --effective-at 2025-03-01T00:00:00Z"))
    run("record", write(tmp_path / "calls.ndjson", an_event()))

    gift, paid = run("credit", "list", "--json").json

    assert tuple(gift) == (*CREDIT, "remaining", "expired")
    assert [gift[name] for name in ("kind", "amount", "remaining", "expired")] == ["granted", "5.00", "0.00", "3.90"]
    assert [paid[name] for name in ("kind", "remaining", "expired", "expires_at")] == [
        "topped_up",
        "1.00",
        "0.00",
        None,
    ]
    heading = run("credit", "list").done.splitlines()[1].split()
    assert heading == [
        "credit",
        "kind",
        "amount",
        "remaining",
        "expired",
        "effective",
        "expires",
        "reference",
        "voided",
    ]


def test_credits_of_an_account_that_is_not_there_are_refused(run: Run, sqlite: str) -> None:
    says = "no account 'nobody'; it is made at its first call or credit, or by: costmeter account add"
    assert run("credit", "list", "--account", "nobody").refused == says


def test_a_void_is_told_listed_and_done_once(run: Run, database: str, tmp_path: Path) -> None:
    run(*GIFT)
    run("record", write(tmp_path / "calls.ndjson", an_event()))
    void = ["credit", "void", "gift", "--reason", "granted twice", "--by", "Ada"]

    said = run(*void, "--json").json

    assert tuple(said) == (*CREDIT, "account")
    assert {name: said["voided"][name] for name in ("by", "reason")} == {"by": "Ada", "reason": "granted twice"}
    refused = run(*void).refused
    assert refused.startswith("reference 'gift': was voided before, at 20")
    assert refused.endswith("by Ada: granted twice; nothing was changed")
    (listed,) = run("credit", "list", "--json").json
    assert listed == {name: said[name] for name in CREDIT} | {"remaining": "0.00", "expired": "0.00"}
    assert "by Ada: granted twice" in run("credit", "list").done
    assert run("balance", "--json").json["balance_infos"][0]["total_balance"] == "0.00"
    assert run("account", "show", "default", "--json").json["credits"] == 0
    assert run("verify").code == 0


def test_who_voids_is_the_user_that_is_logged_in_unless_said(run: Run, sqlite: str) -> None:
    run(*GIFT)

    assert run("credit", "void", "gift", "--reason", "test").done == "voided 5.00 USD granted of account default\n"
    assert run("credit", "list", "--json").json[0]["voided"]["by"] == getpass.getuser()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["other", "--reason", "x"], "no credit of account 'default' has the reference 'other'; see: costmeter credit"),
        (["gift"], "Missing option '--reason'."),
        (["gift", "--reason", " "], "reason ' ': write 1 to 256 characters"),
        (["gift", "--reason", "x", "--by", " "], "by ' ': write 1 to 256 characters"),
        (["gift", "--reason", "x", "--account", "nobody"], "no account 'nobody'"),
    ],
)
def test_a_void_that_cannot_be_changes_nothing(run: Run, sqlite: str, arguments: list[str], says: str) -> None:
    run(*GIFT)
    assert run("credit", "void", *arguments).refused.startswith(says)
    assert run("balance", "--json").json["balance_infos"][0]["total_balance"] == "5.00"


def test_the_reference_of_a_voided_credit_is_not_used_again(run: Run, sqlite: str) -> None:
    run(*GIFT)
    run("credit", "void", "gift", "--reason", "x")
    assert run(*GIFT).refused.startswith("reference 'gift': is of a credit that was voided at ")


def test_a_balance_is_corrected_in_somebodys_name(run: Run, database: str) -> None:
    run("credit", "add", "--kind", "topped_up", "--amount", "5.00", "--effective-at", "2025-03-01T00:00:00Z")
    correct = ["credit", "correct", "--amount", "-0.25", "--reason", "the vendor says so", "--by", "Ada"]
    assert run(*correct).done == "corrected account default by -0.25 topped_up\n"
    assert run("balance", "--json").json["balance_infos"][0]["total_balance"] == "4.75"
    made = run(*correct, "--json").json
    assert (made["seq"], made["amount"], made["by"], made["reason"]) == (4, "-0.25", "Ada", "the vendor says so")
    assert "amount '0.00'" in run("credit", "correct", "--amount", "0", "--reason", "x").refused
