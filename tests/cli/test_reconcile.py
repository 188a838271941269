"""`costmeter reconcile`: what it asks, prints and answers for."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

from costmeter.simulator import Simulator
from tests.cli.running import Run
from tests.exported import KEY, amount_row, an_export, cost_row


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulator]:
    """DeepSeek with 10.00 USD, and its key in a file."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("COSTMETER_DEEPSEEK_API_KEY_FILE", str(tmp_path / "key"))
    with Simulator(topped_up="10") as simulator:
        monkeypatch.setenv("COSTMETER_DEEPSEEK_URL", simulator.base_url)
        yield simulator


@pytest.fixture
def begun(run: Run, vendor: Simulator) -> Simulator:
    run("credit", "add", "--kind", "topped_up", "--amount", "10.00")
    return vendor


class TestBalance:
    def test_equal_balances_agree(self, run: Run, database: str, begun: Simulator) -> None:
        seen = run("reconcile", "balance", "--json").json
        assert (seen["status"], seen["observed"]["total"], seen["difference"]["total"]) == ("agreed", "10.00", "0.00")
        assert seen["body"]["balance_infos"][0]["topped_up_balance"] == "10.00"

    def test_a_difference_ends_by_1_and_is_told_with_what_may_explain_it(
        self, run: Run, database: str, begun: Simulator
    ) -> None:
        begun.ledger.add_credit("topped_up", "5")
        ran = run("reconcile", "balance")
        assert (ran.code, ran.err) == (1, "")
        assert ": open\n" in ran.out
        assert "unknown top up (explains all of it): the topped-up balance is 5.00 more" in ran.out
        assert "3 explanations fit, the likeliest first; none of them is certain" in ran.out

    def test_somebody_explains_it_and_it_stays_explained(self, run: Run, database: str, begun: Simulator) -> None:
        begun.ledger.add_credit("topped_up", "5")
        run("reconcile", "balance")
        said = run("reconcile", "explain", 1, "--reason", "paid in by hand", "--by", "Ada").done
        assert said == "observation 1 of account default is explained\n"
        seen = run("reconcile", "balance", "--json").json
        assert (seen["status"], seen["decided_by"]) == ("explained", "Ada")
        assert seen["reason"] == "as observation 1: paid in by hand"
        again = run("reconcile", "explain", 1, "--reason", "again").refused
        assert again == "observation 1: is explained by Ada: paid in by hand; only an open difference is explained"
        (entry, _) = run("audit", "--json").json
        assert (entry["action"], entry["by"], entry["reason"]) == ("reconcile.explain", "Ada", "paid in by hand")

    def test_more_than_was_explained_is_open_again(self, run: Run, sqlite: str, begun: Simulator) -> None:
        begun.ledger.add_credit("topped_up", "5")
        run("reconcile", "balance")
        run("reconcile", "explain", 1, "--reason", "paid in by hand")
        begun.ledger.add_credit("topped_up", "2")
        ran = run("reconcile", "balance", "--json")
        assert ran.code == 1
        seen = json.loads(ran.out)
        assert (seen["difference"]["total"], seen["explanations"]["difference"]["total"]) == ("7.00", "2.00")

    def test_what_was_seen_is_listed_and_shown(self, run: Run, sqlite: str, begun: Simulator) -> None:
        run("reconcile", "balance")
        begun.ledger.add_credit("granted", "1.50")
        run("reconcile", "balance")
        assert [(seen["number"], seen["status"]) for seen in run("reconcile", "list", "--json").json] == [
            (2, "open"),
            (1, "agreed"),
        ]
        assert [seen["number"] for seen in run("reconcile", "list", "--state", "open", "--json").json] == [2]
        shown = run("reconcile", "show", 2).done
        assert "unknown grant (explains all of it): the granted balance is 1.50 more" in shown
        assert "11.50" in run("reconcile", "list").done
        assert (
            run("reconcile", "show", 3).refused
            == "no observation 3 of account 'default'; see: costmeter reconcile list"
        )

    def test_the_key_is_nowhere(self, run: Run, sqlite: str, begun: Simulator) -> None:
        printed = [run("reconcile", "balance"), run("reconcile", "list", "--json"), run("reconcile", "show", 1)]
        assert KEY not in repr(printed)
        assert KEY.encode() not in Path(sqlite.removeprefix("sqlite:///")).read_bytes()

    def test_without_a_key_it_says_where_one_is_set(self, run: Run, sqlite: str) -> None:
        said = "DeepSeek's balance needs its key: set COSTMETER_DEEPSEEK_API_KEY, or ..._FILE to its file"
        assert run("reconcile", "balance").refused == said

    @pytest.mark.parametrize(
        ("url", "error"),
        [
            ("http://api.deepseek.example", "would send the key in the clear; use https"),
            ("http://127.0.0.1:1", "http://127.0.0.1:1 cannot be reached"),
            ("ftp://localhost", "would send the key in the clear; use https"),
            ("https://localhost:port", "is no URL"),
        ],
    )
    def test_where_it_cannot_be_asked_it_says_so(
        self, run: Run, sqlite: str, begun: Simulator, url: str, error: str
    ) -> None:
        assert error in run("reconcile", "balance", "--url", url).refused

    def test_a_key_that_is_refused_is_told(
        self, run: Run, sqlite: str, begun: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("COSTMETER_DEEPSEEK_API_KEY_FILE")
        monkeypatch.setenv("COSTMETER_DEEPSEEK_API_KEY", "no-key")
        assert run("reconcile", "balance").refused.endswith("answers 401: it refuses the key")

    def test_what_answers_something_else_is_told(self, run: Run, sqlite: str, begun: Simulator) -> None:
        found = run("reconcile", "balance", "--url", f"{begun.base_url}/nothing").refused
        assert found.endswith("/nothing answers 404: ask again later")


class TestExport:
    def exported(self, run: Run, vendor: Simulator, folder: Path) -> Path:
        """Two calls by the SDK, of which the second is not recorded."""
        run("credit", "add", "--kind", "topped_up", "--amount", "10.00", "--effective-at", "2026-01-01T00:00:00Z")
        with OpenAI(api_key=KEY, base_url=vendor.base_url, max_retries=0) as client:
            for _ in range(2):
                client.chat.completions.create(model="deepseek-flash", messages=[{"role": "user", "content": "Hello"}])
        first = vendor.ledger.calls[0].bill
        event = {"event_id": "a", "model": first.model, "completed_at": first.completed_at.isoformat()}
        (folder / "calls.ndjson").write_text(json.dumps({**event, "usage": first.usage.as_json()}))
        run("record", folder / "calls.ndjson")
        path = folder / "export.zip"
        path.write_bytes(httpx2.get(f"{vendor.base_url}/_simulator/export").content)
        return path

    def test_differences_are_a_table_json_and_csv(
        self, run: Run, database: str, vendor: Simulator, tmp_path: Path
    ) -> None:
        path = self.exported(run, vendor, tmp_path)
        table = run("reconcile", "export", path)
        assert (table.code, table.err) == (1, "")
        assert "requests" in table.out
        told = json.loads(run("reconcile", "export", path, "--json").out)
        assert (told["agrees"], told["intervals"], told["currency"]) == (False, 1, "USD")
        by_meter = {row["meter"]: row for row in told["differences"]}
        assert (by_meter["requests"]["recorded"], by_meter["requests"]["exported"]) == ("1", "2")
        out = tmp_path / "differences.csv"
        assert run("reconcile", "export", path, "--format", "csv", "-o", out).code == 1
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows == [{k: v or "" for k, v in row.items()} for row in told["differences"]]
        said = f"output '{out}': goes with --format json, csv or html"
        assert run("reconcile", "export", path, "-o", out).refused == said

    def test_and_a_page(self, run: Run, database: str, vendor: Simulator, tmp_path: Path) -> None:
        path, page = self.exported(run, vendor, tmp_path), tmp_path / "differences.html"
        told = json.loads(run("reconcile", "export", path, "--json").out)
        assert run("reconcile", "export", path, "--format", "html", "-o", page).code == 1
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text
        assert "http" not in text
        for row in told["differences"]:
            assert row["exported"] in text
        assert f"{len(told['differences'])} figures differ" in text

    def test_what_agrees_ends_by_0(self, run: Run, sqlite: str, tmp_path: Path) -> None:
        path = an_export(tmp_path / "e.zip", [amount_row()], [cost_row()])
        run("import", "export", path)
        said = run("reconcile", "export", path).done
        assert said.endswith("2026-09-01T21:00:00Z: 1 intervals agree to the last digit\n")
        assert run("reconcile", "export", path, "--json").json["differences"] == []

    def test_a_name_that_a_spreadsheet_would_run_is_guarded(self, run: Run, sqlite: str, tmp_path: Path) -> None:
        run("account", "add", "default")
        path = an_export(tmp_path / "e.zip", [amount_row().replace("deepseek-flash", "=1+1")], [])
        assert ",'=1+1," in run("reconcile", "export", path, "--format", "csv").out


def test_the_scheduler_compares_where_an_interval_is_set(
    run: Run, database: str, begun: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_RECONCILE_HOURS", "1")
    begun.ledger.add_credit("topped_up", "5")
    # In a process of its own: it says where all of its process logs to.
    command = [sys.executable, "-m", "costmeter", "scheduler", "--once"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "observation 1 of account default: open" in ran.stdout + ran.stderr
    assert datetime.now(UTC) > datetime.fromisoformat(run("reconcile", "list", "--json").json[0]["observed_at"])
