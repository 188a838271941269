"""The beancount file: bean-check accepts it, and its balances are those of the books."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from beancount import loader
from beancount.core.data import Balance, Posting, Transaction
from sqlalchemy import Engine

from costmeter.core.errors import InputError
from costmeter.core.money import MAX_AMOUNT, format_amount
from costmeter.exports.beancount import write_beancount
from costmeter.services.expire_credits import expire_credits
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from tests.exports.writing import balances_at
from tests.make import an_event, at, book, grant, record_and_post, top_up, usd

MARCH = Scope.checked(month="2025-03")
CHECK = Path(sys.executable).with_name("bean-check")
END = "2025-03-31T23:59:59.999999Z"


def written(engine: Engine, scope: Scope = MARCH) -> str:
    out = io.StringIO()
    with reading(engine) as connection:
        count = write_beancount(connection, scope, out)
    assert count == out.getvalue().count("  entry: ")
    return out.getvalue()


def check(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    file = folder / "books.beancount"
    file.write_text(text, encoding="utf-8", newline="")
    return subprocess.run([CHECK, file], capture_output=True, text=True, check=False)


def loaded(text: str) -> tuple[dict[str, Decimal], list[Any]]:
    """The sum of each account's postings, and all directives; beancount must find no error."""
    directives, errors, _ = loader.load_string(text)
    assert errors == []
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for directive in directives:
        if isinstance(directive, Transaction):
            for posting in directive.postings:
                sums[posting.account] += amount(posting)
    return sums, directives


def amount(posting: Posting) -> Decimal:
    assert posting.units is not None
    assert isinstance(posting.units.number, Decimal)
    return posting.units.number


def spend(engine: Engine) -> None:
    record_and_post(engine, an_event("before", "2025-02-10T12:00:00Z"), now="2025-02-11T00:00:00Z")
    top_up(engine, "2.00", "2025-02-20T00:00:00Z", now="2025-02-20T00:00:00Z")
    grant(engine, "1.00", "2025-02-21T00:00:00Z", "2025-03-15T00:00:00Z", now="2025-02-21T00:00:00Z")
    record_and_post(engine, an_event("a", "2025-02-27T12:00:00Z", output=500_000), now="2025-02-28T00:00:00Z")
    record_and_post(engine, an_event("b", project="x", hit=7), now="2025-03-04T00:00:00Z")
    expire_credits(engine, book=book(), now=at("2025-03-15T00:00:00Z"))
    record_and_post(engine, an_event("c", "2025-03-20T12:00:00Z", output=2_000_000), now="2025-03-21T00:00:00Z")
    grant(engine, "3.00", "2025-03-25T00:00:00Z", "2025-04-25T00:00:00Z", now="2025-03-25T00:00:00Z")


def test_bean_check_accepts_a_month_and_its_balances_are_ours(engine: Engine, tmp_path: Path) -> None:
    spend(engine)
    text = written(engine)
    found = check(tmp_path, text)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")

    sums, directives = loaded(text)
    asserted = {d.account.split(":")[-1]: d.amount.number for d in directives if isinstance(d, Balance)}
    assert asserted == {name: Decimal(number) for name, number in {
        "Granted": "3.00", "ToppedUp": "0.00", "Overdraft": "-0.85000049", "Untracked": "-1.10"
    }.items()}  # fmt: skip
    assert (usd("3.00"), -usd("0.85000049")) == balances_at(engine, "default", END)
    assert sums["Expenses:DeepSeek:Account-default:Usage"] == Decimal("3.30000049")
    assert sums["Equity:DeepSeek:Account-default:Opening"] == Decimal("-1.35"), "2.00 + 1.00 - 0.55 - 1.10"
    assert sum(sums.values()) == 0


def test_a_month_goes_on_where_the_one_before_ended(engine: Engine) -> None:
    spend(engine)
    february, march = (loaded(written(engine, Scope.checked(month=f"2025-0{n}")))[1] for n in (2, 3))
    ended = {d.account: d.amount.number for d in february if isinstance(d, Balance)}
    (opening,) = (d for d in march if isinstance(d, Transaction) and d.narration == "opening balances")
    began = {posting.account: amount(posting) for posting in opening.postings if "Opening" not in posting.account}
    assert began == {name: number for name, number in ended.items() if number}


def test_bean_check_would_find_what_is_wrong(engine: Engine, tmp_path: Path) -> None:
    spend(engine)
    text = written(engine)
    for right, wrong, message in (
        ("Overdraft  -0.85000049 ~ 0", "Overdraft  -0.850000490001 ~ 0", "Balance failed"),
        ("Usage  1.10000049", "Usage  1.10000048", "does not balance"),
    ):
        assert right in text
        found = check(tmp_path, text.replace(right, wrong, 1))
        assert found.returncode == 1
        assert message in found.stdout + found.stderr


def test_names_come_through_whatever_they_hold(engine: Engine, tmp_path: Path) -> None:
    odd = 'a\\"b"\n' + "\n" * 99 + "* c;ü中🚲\t\\n"
    names = ("default", "Default", "a-b", "a b", "中:国", "-61-", "a", "0")
    for name in names:
        record_and_post(engine, an_event(account=name, project=odd))

    text = written(engine)
    assert check(tmp_path, text).returncode == 0
    _, directives = loaded(text)
    entries = [directive for directive in directives if isinstance(directive, Transaction)]
    assert {entry.meta["project"] for entry in entries} == {odd}
    assert {entry.meta["account"] for entry in entries} == {*names}
    assert len({entry.postings[0].account for entry in entries}) == len(names), "each has accounts of its own"


def test_sums_past_64_bits_keep_their_last_digit(engine: Engine, tmp_path: Path) -> None:
    for _ in range(3):
        top_up(engine, format_amount(MAX_AMOUNT), "2025-03-01T00:00:00Z")
    calls = [an_event(f"c{n:02}", f"2025-03-03T12:{n:02}:00Z", output=10**12, hit=1) for n in range(20)]
    record_and_post(engine, *calls)

    text = written(engine)
    assert check(tmp_path, text).returncode == 0
    cost = 20 * (usd("1100000.00") + 70_000)
    assert cost > 2**63
    assert f"Usage  {format_amount(cost)} USD" in text
    assert f"ToppedUp  {format_amount(3 * MAX_AMOUNT - cost)} ~ 0 USD" in text


def test_yuan_are_a_commodity_of_their_own(engine: Engine, tmp_path: Path) -> None:
    top_up(engine, "5.00", "2025-03-01T00:00:00Z", account="cny", currency="CNY")
    text = written(engine, Scope.checked(month="2025-03", account="cny"))
    assert check(tmp_path, text).returncode == 0
    assert "2025-03-01 commodity CNY\n" in text
    assert "USD" not in text


def test_no_accounts_are_a_file_all_the_same(engine: Engine, tmp_path: Path) -> None:
    text = written(engine)
    assert text == 'option "title" "DeepSeek usage of 2025-03"\noption "tolerance_multiplier" "0"\n'
    assert check(tmp_path, text).returncode == 0


def test_a_scope_that_cannot_be_writes_nothing(engine: Engine) -> None:
    out = io.StringIO()
    with reading(engine) as connection, pytest.raises(InputError, match="month: a journal is of one billing month"):
        write_beancount(connection, Scope.checked(start=at("2025-03-01T00:00:00Z"), end=at(END)), out)
    assert out.getvalue() == ""
