"""`costmeter demo`: what a newcomer sees first, read as somebody from finance would."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from costmeter.cli.main import main
from costmeter.core.money import format_amount, parse_amount
from tests.api.serving import until
from tests.cli.running import Run


class Demo(NamedTuple):
    """One run of the demo: where, what it printed, and the rows of its CSV."""

    folder: Path
    printed: str
    rows: list[dict[str, str]]

    @property
    def report(self) -> str:
        """The tables and the balances: what does not depend on where or when it ran."""
        return self.printed[self.printed.index("Spend in") : self.printed.index("The two agree")]


def demonstrate(folder: Path) -> Demo:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(["demo", "--folder", str(folder)])
    assert (code, err.getvalue()) == (0, ""), out.getvalue()
    with (folder / "charges-2025-03.csv").open(encoding="utf-8", newline="") as file:
        return Demo(folder, out.getvalue(), list(csv.DictReader(file)))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DATABASE_URL", "CURRENCY", "TIMEZONE", "PRICE_BOOK"):
            environment.delenv(f"COSTMETER_{name}", raising=False)
        yield demonstrate(tmp_path_factory.mktemp("demo") / "output")


@pytest.fixture
def totals(run: Run, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The totals of the month, as the report says them of the database that the demo left."""
    monkeypatch.setenv("COSTMETER_DATABASE_URL", f"sqlite:///{demo.folder / 'costmeter.sqlite3'}")
    found: dict[str, Any] = run("report", "--month", "2025-03", "--json").json["totals"]
    return found


def total(demo: Demo, column: str) -> str:
    return format_amount(sum(parse_amount(row[column]) for row in demo.rows))


def test_our_balance_is_the_simulators_to_the_last_digit(demo: Demo) -> None:
    ours, theirs = re.findall(r"^  (?:costmeter|simulator) (.*)$", demo.printed, re.MULTILINE)
    assert ours.split() == theirs.split()
    assert len(ours.split()) == 3
    assert "The two agree to the last digit.\n" in demo.printed


def test_every_promise_is_kept(demo: Demo, run: Run, totals: dict[str, Any]) -> None:
    assert "verify: promises 1 to 6 kept\n" in demo.printed
    assert run("verify", "--json").json["findings"] == []


def test_every_measured_call_is_a_row_and_the_refused_one_is_counted(demo: Demo, totals: dict[str, Any]) -> None:
    assert len(demo.rows) == totals["calls"]
    assert f"{len(demo.rows)} charges in {demo.folder / 'charges-2025-03.csv'}\n" in demo.printed
    assert f"{len(demo.rows) + 1} calls recorded\n" in demo.printed
    assert "refused with 402: the balance is spent" in demo.printed
    assert "1 call failed, not charged" in demo.printed
    doubts = {name: totals[name] for name in ("failed", "unmetered", "unpriced", "provisional", "unposted")}
    assert doubts == {"failed": 1, "unmetered": 0, "unpriced": 0, "provisional": 0, "unposted": 0}


def test_the_columns_of_the_csv_sum_to_the_report(demo: Demo, totals: dict[str, Any]) -> None:
    for column in ("cost", "granted", "topped_up", "overdraft", "untracked"):
        assert total(demo, column) == totals[column], column
    assert totals["cost"] in demo.printed
    for row in demo.rows:
        parts = ("granted", "topped_up", "overdraft", "untracked")
        assert sum(parse_amount(row[part]) for part in parts) == parse_amount(row["cost"]) > 0


def test_the_grant_runs_out_in_the_middle_of_a_call(demo: Demo) -> None:
    mixed = [row for row in demo.rows if row["granted"] != "0.00" and row["granted"] != row["cost"]]
    assert len(mixed) == 1
    assert mixed[0]["overdraft"] != "0.00" or mixed[0]["topped_up"] != "0.00"
    assert total(demo, "granted") == "0.02", "all of the grant was spent"


def test_the_edges_of_the_night_fall_where_the_vendor_says(demo: Demo) -> None:
    bands = {row["completed_at"]: row["band"] for row in demo.rows}
    assert bands["2025-03-10T00:30:00Z"] == "standard"
    assert bands["2025-03-10T16:30:00Z"] == "off_peak"
    for instant, band in bands.items():
        is_day = "2025-03-10T00:30:00Z" <= instant < "2025-03-10T16:30:00Z"
        assert band == ("standard" if is_day else "off_peak"), instant


def test_several_projects_users_and_both_models_are_in_it(demo: Demo) -> None:
    assert {row["project"] for row in demo.rows} == {"search", "support", "research"}
    assert {row["model"] for row in demo.rows} == {"deepseek-chat", "deepseek-reasoner"}
    assert len({row["user"] for row in demo.rows}) > 2
    assert {row["api_key"][:3] for row in demo.rows} == {"fp_"}


def test_again_into_the_same_folder_it_begins_anew_and_comes_to_the_same(demo: Demo) -> None:
    (demo.folder / "notes.txt").write_text("mine")

    again = demonstrate(demo.folder)

    assert again.report == demo.report
    assert (demo.folder / "notes.txt").read_text() == "mine", "what the demo did not make stays"


def test_a_folder_that_cannot_be_one_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert (
        run("demo", "--folder", tmp_path / "file").refused
        == f"folder '{tmp_path / 'file'}': cannot be used: File exists"
    )
    assert json.dumps((tmp_path / "file").read_text()) == '""'


def test_it_serves_its_books_until_it_is_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "costmeter", "demo", "--folder", str(tmp_path), "--serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        address = next(found[1] for line in process.stdout if (found := re.search(r"curl '(.*?)'", line)))
        report = until(lambda: _asked(address))
        assert (
            report["totals"]["calls"]
            == len((tmp_path / "charges-2025-03.csv").read_text(encoding="utf-8").splitlines()) - 1
        )
        process.terminate()
        assert process.wait(30) == 0


def _asked(address: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = httpx.get(address).json()
    except httpx.TransportError:
        return None
    return found
