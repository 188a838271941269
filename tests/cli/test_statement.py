"""`costmeter statement`, `costmeter close` and `costmeter account open`."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

from pypdfium2 import PdfDocument

from tests.cli.running import Run, words, write
from tests.make import an_event

OPEN = words("account open default --at 2025-03-01T00:00:00Z --granted 1.00 --topped-up 5.00 --by Ada")


def books(run: Run, folder: Path) -> None:
    """An account opened in March 2025 with 1.00 and 5.00; a call of 1.10 in March and one in April."""
    assert run(*OPEN).done == "opened account default with 1.00 USD granted and 5.00 USD topped_up\n"
    calls = [an_event("a", "2025-03-03T12:00:00Z", project="=search"), an_event("b", "2025-04-03T12:00:00Z")]
    assert run("record", str(write(folder / "calls.ndjson", *calls)), "--json").code == 0


def test_an_account_is_opened_once(run: Run, database: str) -> None:
    run(*OPEN)
    assert run(*OPEN).done.startswith("kept, was opened before: account default with 1.00 USD granted")
    again = run(*OPEN, "--json").json
    assert (again["created"], [one["origin"] for one in again["credits"]]) == (False, ["opening", "opening"])
    assert "nothing was changed" in run(*OPEN, "--topped-up", "9").refused
    assert "tracked from its first credit" in run(*words("account open b --at 2025-03-01T00:00:00Z")).refused


def test_the_statement_of_an_open_month(run: Run, database: str, tmp_path: Path) -> None:
    books(run, tmp_path)
    shape = run("statement", "2025-03", "--json").json
    assert (shape["state"], shape["closing"]) == ("open", None)
    assert shape["opening"] == {"granted": "0.00", "topped_up": "0.00", "total": "0.00"}
    assert shape["closing_balance"] == {"granted": "0.00", "topped_up": "4.90", "total": "4.90"}
    shown = run("statement", "2025-03").done
    for text in (
        "open, as of",
        "Opening balance",
        "Balance that the account was opened with",
        "-1.10",
        "4.90",
        "=search",
    ):
        assert text in shown


def test_as_csv_with_a_rounded_column(run: Run, database: str, tmp_path: Path) -> None:
    books(run, tmp_path)
    run("record", str(write(tmp_path / "more.ndjson", an_event("c", "2025-03-04T12:00:00Z", hit=1, output=0))))
    target = tmp_path / "statement.csv"
    run("statement", "2025-03", "--format", "csv", "-o", str(target))
    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    usage = next(row for row in rows if row["section"] == "usage")
    assert (usage["amount"], usage["rounded"], usage["currency"]) == ("1.10000007", "1.10", "USD")
    assert [row["item"] for row in rows if row["section"] == "project"] == ["", "'=search"]
    assert {row["item"]: row["amount"] for row in rows if row["section"] == "rounding"} == {
        "balance": "0.00",
        "usage": "0.00",
    }


def test_a_month_is_closed_once_and_never_moves(run: Run, database: str, tmp_path: Path) -> None:
    books(run, tmp_path)
    closed = run("close", "2025-03", "--by", "Ada").done
    assert closed.startswith("closed 2025-03 of account default, sha256 ")
    first = run("statement", "2025-03", "--json").json
    assert (first["state"], first["closing"]["by"], first["closing"]["override"]) == ("closed", "Ada", None)
    csv_before = run("statement", "2025-03", "--format", "csv").done
    assert run("close", "2025-03").done.startswith("was closed before: 2025-03 of account default")
    late = write(tmp_path / "late.ndjson", an_event("late", "2025-03-05T12:00:00Z"))
    assert run("record", str(late), "--json").json["accepted"] == 1
    assert run("statement", "2025-03", "--json").json == first
    assert run("statement", "2025-03", "--format", "csv").done == csv_before
    shown = run("statement", f"{datetime.now(UTC):%Y-%m}").done  # the month of booking
    for text in ("Adjustments of earlier months", "2025-03 deepseek-chat"):
        assert text in shown


def test_what_stands_against_it_is_listed_and_overridden_with_a_reason(run: Run, database: str, tmp_path: Path) -> None:
    books(run, tmp_path)
    run("record", str(write(tmp_path / "new.ndjson", an_event("x", "2025-03-05T12:00:00Z", model="deepseek-9"))))
    refused = run("close", "2025-03")
    assert refused.code == 1
    assert "not closed: 2025-03 of account default\n  1 call is unpriced" in refused.out
    assert run("close", "2025-04", "--json").code == 1
    (result,) = json.loads(run("close", "2025-04", "--json").out)
    assert (result["closed"], result["blockers"][0]) == (False, "2025-03 comes first (costmeter close 2025-03)")
    assert run("close", "2025-03", "--override", "priced in April", "--by", "Ada").code == 0
    shown = run("statement", "2025-03").done
    assert "overridden: priced in April\n  1 call is unpriced" in shown


def test_every_account_that_had_begun(run: Run, database: str, tmp_path: Path) -> None:
    books(run, tmp_path)
    other = [an_event("b1", "2025-03-03T12:00:00Z", account="b"), an_event("c1", "2025-05-03T12:00:00Z", account="c")]
    run("record", str(write(tmp_path / "others.ndjson", *other)))
    assert [one["account"] for one in run("close", "2025-03", "--json").json] == ["b", "default"]
    assert run("close", "2024-01").done == "no account has anything in 2024-01\n"


def test_what_is_no_month_or_account(run: Run, database: str) -> None:
    run("account", "add", "b")
    assert "month '2025-3'" in run("statement", "2025-3", "--account", "b").refused
    assert "no account 'default'" in run("statement", "2025-03").refused
    assert "no account 'x'" in run("close", "2025-03", "--account", "x").refused


def test_as_a_page_and_as_a_pdf(run: Run, database: str, tmp_path: Path) -> None:
    books(run, tmp_path)
    run("close", "2025-03")
    sealed = run("statement", "2025-03", "--json").json["closing"]["sha256"]
    page, file = tmp_path / "march.html", tmp_path / "march.pdf"
    assert run("statement", "2025-03", "--format", "html", "-o", str(page)).done == ""
    text = page.read_text(encoding="utf-8")
    for shown in (sealed, "4.90", "=search", "What the month teaches"):
        assert shown in text
    assert run("statement", "2025-03", "--format", "pdf", "-o", str(file)).done == ""
    with PdfDocument(file) as document:
        assert sealed in document.get_metadata_value("Keywords")
        assert "4.90" in document[0].get_textpage().get_text_range()
