"""`costmeter export charges`: the contract's columns exactly, safe in a spreadsheet, the same on both databases."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from beancount.loader import load_file

from tests.cli.running import Run, words, write
from tests.make import MILLION, an_event, an_unmetered

COLUMNS = words(
    "event_id, account, project, user, api_key, model, completed_at, band, cache_hit_tokens, cache_miss_tokens, "
    "output_tokens, reasoning_tokens, cost_cache_hit, cost_cache_miss, cost_output, cost, granted, topped_up, "
    "overdraft, untracked, currency, tariff, status, adjusts, flags",
    ", ",
)
MARCH = ("export", "charges", "--month", "2025-03")
# In the order of their bytes, which no locale knows of.
IDS = ["#", "-1", "1", "10", "2", "A", "B", "Z", "a", "a b", "a-1", "a1", "a_1", "z", "~", "\u00c4", "\u00e4", "\u4e2d"]
BODIES = (
    an_event("sum", "2025-03-03T17:00:00.5Z", project="search", user="u", api_key="backend", hit=512, miss=51)
    | {"completed_at": "2025-03-04T01:00:00.500000+08:00"},
    an_event("strange", "2025-03-03T18:00:00Z", model="no-such-model", output=5),
    an_unmetered("torn"),
    an_unmetered("failed") | {"status": "failed", "http_status": 402},
)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_has_the_columns_of_the_contract_in_its_order(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("credit add --kind granted --amount 0.10 --effective-at 2025-03-01T00:00:00Z"))
    run(*words("credit add --kind topped_up --amount 0.20 --effective-at 2025-03-01T00:00:00Z"))
    run("record", write(tmp_path / "calls.ndjson", *BODIES))

    printed = run(*MARCH).done

    lines = printed.split("\r\n")
    assert lines[0] == ",".join(COLUMNS)
    assert lines[-1] == "", "every line ends with CR LF"
    assert "\n" not in printed.replace("\r\n", "")
    priced, unpriced = rows_of(printed)
    assert priced == {
        "event_id": "sum",
        "account": "default",
        "project": "search",
        "user": "u",
        "api_key": "backend",
        "model": "deepseek-chat",
        "completed_at": "2025-03-03T17:00:00.500000Z",
        "band": "off_peak",
        "cache_hit_tokens": "512",
        "cache_miss_tokens": "51",
        "output_tokens": str(MILLION),
        "reasoning_tokens": "0",
        "cost_cache_hit": "0.00001792",
        "cost_cache_miss": "0.000006885",
        "cost_output": "0.55",
        "cost": "0.550024805",
        "granted": "0.10",
        "topped_up": "0.20",
        "overdraft": "0.250024805",
        "untracked": "0.00",
        "currency": "USD",
        "tariff": "deepseek-v3/2025-02-26",
        "status": "priced",
        "adjusts": "",
        "flags": "",
    }
    unknown = ["band", "tariff", *(name for name in COLUMNS if name.startswith("cost"))]
    assert {name: unpriced[name] for name in unknown} == dict.fromkeys(unknown, ""), "empty, and never 0"
    assert (unpriced["status"], unpriced["output_tokens"]) == ("unpriced", "5")


def test_rows_stand_by_completion_and_then_by_the_bytes_of_their_id(run: Run, database: str, tmp_path: Path) -> None:
    later = [an_event(name, "2025-03-03T12:00:01Z") for name in reversed(IDS)]
    run("record", write(tmp_path / "calls.ndjson", *later, an_event("zz", "2025-03-03T12:00:00Z")))

    ids = [row["event_id"].removeprefix("'") for row in rows_of(run(*MARCH).done)]
    assert sorted(IDS, key=str.encode) == IDS
    assert ids == ["zz", *IDS]


def test_the_file_is_the_same_to_the_byte_on_both_databases(
    run: Run, sqlite_url: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [an_event(name, project=f"p {name}", user='u,"v"\nw') for name in IDS]
    bodies += [an_event(None, "2025-03-09T12:00:00Z", output=7)] * 3
    file = write(tmp_path / "calls.ndjson", *bodies, *BODIES)
    exported: list[bytes] = []
    for url in (sqlite_url, postgres_url):
        monkeypatch.setenv("COSTMETER_DATABASE_URL", url)
        run(*words("credit add --kind granted --amount 3.00 --effective-at 2025-03-01T00:00:00Z"))
        run("record", file)
        path = tmp_path / f"{len(exported)}.csv"
        ran = run(*MARCH, "-o", path)
        assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {len(IDS) + 5} rows to {path}\n")
        exported.append(path.read_bytes())

    assert exported[0] == exported[1]
    assert exported[0].decode() == run(*MARCH).done


def test_text_that_a_spreadsheet_would_run_is_guarded(run: Run, sqlite: str, tmp_path: Path) -> None:
    dangerous = ["=cmd|'/C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx"]
    bodies = [an_event(str(number), project=text, user=text) for number, text in enumerate(dangerous)]
    run("record", write(tmp_path / "calls.ndjson", *bodies, an_event("9", project="a=b", user="7")))

    rows = rows_of(run(*MARCH).done)
    assert [row["project"] for row in rows] == [f"'{text}" for text in dangerous] + ["a=b"]
    assert [row["user"] for row in rows] == [f"'{text}" for text in dangerous] + ["7"]


def test_scope_and_filters_are_those_of_the_report(run: Run, database: str, tmp_path: Path) -> None:
    run("account", "add", "cny", "--currency", "CNY")
    bodies = [
        an_event("a", "2025-03-31T23:59:59Z", project="x"),
        an_event("b", "2025-04-01T00:00:00Z", project="x"),
        an_event("c", "2025-03-05T00:00:00Z", account="cny"),
    ]
    run("record", write(tmp_path / "calls.ndjson", *bodies))

    def ids(*options: str) -> list[str]:
        return [row["event_id"] for row in rows_of(run("export", "charges", *options).done)]

    assert run(*MARCH).refused == "currency: there are accounts in CNY and USD, which are never summed; choose one"
    assert ids("--month", "2025-03", "--currency", "USD") == ["a"]
    assert ids("--month", "2025-03", "--account", "cny") == ["c"]
    assert ids("--from", "2025-03-31T23:59:59Z", "--to", "2025-04-02T00:00:00Z", "--currency", "USD") == ["a", "b"]
    assert ids("--month", "2025-04", "--currency", "USD", "--where", "project=x") == ["b"]
    assert ids("--month", "2025-04", "--currency", "USD", "--where", "project=y") == []
    assert run("export", "charges").refused == "month: give either a month, or from and to"


def test_a_file_is_whole_or_not_there(run: Run, sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event()))
    folder = tmp_path / "out"
    folder.mkdir()
    run(*MARCH, "-o", folder / "charges.csv")
    before = (folder / "charges.csv").read_bytes()
    assert json.dumps(before.decode()).count("call-1") == 1

    def fail(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("costmeter.exports.file.os.fsync", fail)
    ran = run(*MARCH, "-o", folder / "charges.csv")
    assert (ran.code, ran.out, ran.err) == (130, "", "")
    assert run(*MARCH, "-o", folder / "other.csv").code == 130
    assert sorted(path.name for path in folder.iterdir()) == ["charges.csv", "charges.csv.manifest.json"]
    assert (folder / "charges.csv").read_bytes() == before


def test_a_place_that_cannot_be_written_is_refused(run: Run, sqlite: str, tmp_path: Path) -> None:
    says = f"output '{tmp_path / 'no' / 'x.csv'}': cannot be written: No such file or directory"
    assert run(*MARCH, "-o", tmp_path / "no" / "x.csv").refused == says
    for place in (tmp_path, Path("/dev/null")):
        says = f"output '{place}': is no file; name one, or leave it out for standard output"
        assert run(*MARCH, "-o", place).refused == says
    assert Path("/dev/null").is_char_device()


def test_a_file_has_a_manifest_and_standard_output_none(run: Run, sqlite: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event()))
    folder = tmp_path / "out"
    folder.mkdir()
    for kind in ("charges", "usage"):
        for form in ("csv", "jsonl", "xlsx", "parquet"):
            path = folder / f"{kind}.{form}"
            ran = run("export", kind, "--month", "2025-03", "--format", form, "-o", path)
            assert (ran.code, ran.out, ran.err) == (0, "", f"wrote 1 rows to {path}\n")
            said = json.loads((folder / f"{kind}.{form}.manifest.json").read_text(encoding="utf-8"))
            assert (said["kind"], said["format"], said["sums"]["cost"]) == (kind, form, "1.10")
    before = sorted(folder.iterdir())
    assert json.loads(run(*MARCH, "--format", "jsonl").done)["cost"] == "1.10"
    assert sorted(folder.iterdir()) == before


def test_a_preset_is_for_csv(run: Run, sqlite: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event()))
    assert run(*MARCH, "--excel", "de").done.startswith("\ufeffevent_id;account;")
    assert run(*MARCH, "--excel", "de", "--format", "xlsx").refused.startswith("excel 'de': is a preset for csv")
    assert run(*MARCH, "--excel", "klingon", "-o", tmp_path / "x").refused.startswith("excel 'klingon': use one of")
    assert not (tmp_path / "x").exists()


def test_focus_in_its_versions_and_modes(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("credit add --kind topped_up --amount 5.00 --effective-at 2025-03-01T00:00:00Z --reference paid"))
    run("record", write(tmp_path / "calls.ndjson", *BODIES))
    focus = ("export", "focus", "--month", "2025-03")
    accrual = rows_of(run(*focus).done)
    assert {row["ServiceProviderName"] for row in accrual} == {"DeepSeek"}
    assert {row["ChargeCategory"] for row in accrual} == {"Usage"}
    assert "ProviderName" in rows_of(run(*focus, "--focus-version", "1.2").done)[0]
    prepaid = rows_of(run(*focus, "--focus-mode", "prepaid").done)
    assert [row["BilledCost"] for row in prepaid if row["ChargeCategory"] == "Purchase"] == ["5.00"]
    assert {row["BilledCost"] for row in prepaid if row["ChargeCategory"] == "Usage"} == {"0.00"}
    assert "month" in run("export", "focus").refused


def test_the_journal_as_rows_and_as_a_beancount_file(run: Run, database: str, tmp_path: Path) -> None:
    run(*words("credit add --kind topped_up --amount 5.00 --effective-at 2025-03-01T00:00:00Z --reference paid"))
    run("record", write(tmp_path / "calls.ndjson", *BODIES))
    rows = rows_of(run("export", "journal", "--month", "2025-03").done)
    debit, credit = (sum(Decimal(row[side] or 0) for row in rows) for side in ("debit", "credit"))
    assert debit == credit > 5
    target = tmp_path / "march.beancount"
    done = run("export", "beancount", "--month", "2025-03", "-o", str(target))
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("wrote ")
    _, errors, _ = load_file(str(target))
    assert errors == []
    said = json.loads(target.with_name("march.beancount.manifest.json").read_text(encoding="utf-8"))
    assert said["file_sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert run("export", "beancount", "--month", "2025-03").done == target.read_text(encoding="utf-8")
