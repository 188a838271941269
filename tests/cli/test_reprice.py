"""`costmeter reprice`: what the present price book charges otherwise, said first and then done."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.quarter import THIRD_MODEL
from costmeter import wiring
from tests.cli.running import Run, write
from tests.make import an_event

ROW = (
    "account", "currency", "month", "tariff", "project", "charges", "unpriced_before", "unpriced_after", "before",
    "after", "difference",
)  # fmt: skip


def learn_the_new_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "more.toml"
    path.write_text(THIRD_MODEL, encoding="utf-8")
    monkeypatch.setenv("COSTMETER_PRICE_BOOK", str(path))
    wiring.price_book.cache_clear()


def test_it_says_what_would_change_and_then_changes_it(
    run: Run, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event(model="deepseek-9", project="search"), an_event("known")))
    assert run("reprice").done == "nothing to price again: every charge is what the present price book says\n"
    learn_the_new_model(tmp_path, monkeypatch)

    said = run("reprice", "--dry-run", "--json").json

    assert (said["dry_run"], len(said["edition"])) == (True, 64)
    (row,) = said["rows"]
    assert tuple(row) == ROW
    assert list(row.values()) == [
        "default", "USD", "2025-03", "deepseek-9/2025", "search", 1, 1, 0, "0.00", "2.00", "2.00",
    ]  # fmt: skip
    assert said["totals"] == [{name: row[name] for name in ("currency", *ROW[5:])}]
    assert "1 calls would be charged again: 0.00 -> 2.00 USD (2.00)" in run("reprice", "--dry-run").done
    assert run("reprice", "--month", "2025-04", "--json").json["rows"] == []
    done = run("reprice", "--account", "default", "--json").json
    assert done == said | {"dry_run": False}
    assert run("reprice", "--json").json["rows"] == []
    assert run("report", "--month", "2025-03", "--json").json["totals"]["cost"] == "3.10"
    assert run("verify").code == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--month", "March"], "month 'March': write a month as YYYY-MM"),
        (["--account", "nobody"], "no account 'nobody'; it is made at its first call or credit"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, sqlite: str, options: list[str], says: str) -> None:
    assert run("reprice", *options).refused.startswith(says)
