"""`costmeter doctor` and `costmeter flush`: what is wrong with an installation, and what dead processes left."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costmeter import wiring
from costmeter.core.periods import format_instant
from costmeter.recorder.lane import LOST, lanes
from costmeter.recorder.spool import Spool
from tests.cli.running import Run
from tests.recorder.spooling import Deliveries, ended, killed

RECENTLY = format_instant(datetime.now(UTC) - timedelta(hours=1))
DIED = 'Spool(deliveries, folder=folder).begin(intent("died", sys.argv[2]))'


def verdicts(run: Run, what: str) -> tuple[int, list[tuple[str, str]]]:
    ran = run("doctor", "--json")
    checks = json.loads(ran.out)["checks"]
    return ran.code, [(check["verdict"], check["said"]) for check in checks if check["what"] == what]


def test_a_sound_installation_needs_no_hand(run: Run, database: str) -> None:
    ran = run("doctor")

    assert (ran.code, ran.err) == (0, "")
    assert "yes   database: " in ran.out
    assert f"yes   spool: {wiring.spool_folder()} takes 0 of at most 1,073,741,824 bytes" in ran.out
    assert not list(lanes(wiring.spool_folder()))


def test_no_password_is_shown(run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", postgres_url.replace("://postgres:", "://postgres:s3cret"))

    assert "s3cret" not in run("doctor").out


def test_a_missing_database_and_one_without_a_schema_are_told_apart(
    run: Run, postgres_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COSTMETER_DATABASE_URL", f"sqlite:///{tmp_path / 'new.sqlite3'}")
    assert verdicts(run, "database") == (0, [("note", f"{tmp_path / 'new.sqlite3'} is made at its first use")])
    assert not (tmp_path / "new.sqlite3-journal").exists()
    monkeypatch.setenv("COSTMETER_DATABASE_URL", postgres_server.format("nowhere"))
    code, found = verdicts(run, "database")
    assert code == 1
    assert 'database "nowhere" does not exist' in found[0][1]
    monkeypatch.setenv("COSTMETER_DATABASE_URL", postgres_server.format("postgres"))
    assert verdicts(run, "database") == (1, [("no", "the database has no costmeter schema; run: costmeter db upgrade")])


def test_what_a_dead_process_left_is_found_and_delivered(run: Run, database: str) -> None:
    folder = wiring.spool_folder()
    killed(folder, DIED, RECENTLY)

    code, found = verdicts(run, "spool")
    assert code == 1
    assert "is gone: 0 calls wait, 1 on their way" in found[1][1]
    assert "costmeter flush" in found[1][1]
    assert run("flush").done == "1 calls of processes that are gone delivered and posted\n"
    assert run("flush", "--json").json == {"delivered": 0}
    assert verdicts(run, "spool")[0] == 0
    report = run("report", "--from", RECENTLY, "--to", format_instant(datetime.now(UTC)), "--json").json
    assert report["totals"]["unmetered"] == 1


def test_a_living_process_is_only_mentioned(run: Run, sqlite: str) -> None:
    deliveries = Deliveries()
    deliveries.is_away = True
    spool = Spool(deliveries, folder=wiring.spool_folder())
    spool.append(ended("e-1"))

    code, found = verdicts(run, "spool")
    assert code == 0
    assert "records: 1 calls wait, 0 on their way" in found[1][1]
    assert run("flush", "--json").json == {"delivered": 0}
    deliveries.is_away = False
    assert spool.close(10)


def test_lost_calls_stay_on_record(run: Run, sqlite: str) -> None:
    script = """
    deliveries.is_away = True
    spool = Spool(deliveries, folder=folder)
    spool.flush(0)
    spool._open_lane().allowance = 0
    spool.append(ended("lost"))
    """
    killed(wiring.spool_folder(), script)
    assert run("flush", "--json").code == 0

    code, found = verdicts(run, "spool")
    assert code == 1
    assert "lost 1 calls: its disk or its spool was full; remove " in found[1][1]
    assert LOST in found[1][1]


def test_a_spool_folder_that_cannot_be_written_is_said(
    run: Run, sqlite: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("COSTMETER_SPOOL_DIR", str(tmp_path / "file"))

    code, found = verdicts(run, "spool")
    assert code == 1
    assert found[0][1].endswith("cannot be written: Not a directory")


def test_each_database_has_a_spool_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def folder(url: str) -> Path:
        monkeypatch.setenv("COSTMETER_DATABASE_URL", url)
        return wiring.spool_folder()

    monkeypatch.chdir(tmp_path)
    urls = ["sqlite:///a.db", "sqlite:///b.db", "postgresql://u:p@h/a", "postgresql://u:p@h/b", "postgresql://v@h/a"]
    assert len({folder(url) for url in urls}) == len(urls)
    assert folder("sqlite:///a.db") == folder(f"sqlite:///{tmp_path}/a.db")
    assert folder("postgresql://u:p@h/a") == folder("postgresql://u:new@h/a")


def test_it_says_which_keys_the_gateway_needs_and_has(
    run: Run, sqlite: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert verdicts(run, "gateway") == (0, [("yes", "callers send keys of DeepSeek's")])
    monkeypatch.setenv("COSTMETER_GATEWAY_VENDOR_KEY", "sk-0123456789abcdef")
    one = "callers send keys of costmeter's (known ones go on while the database is away); vendor keys: one for all"
    assert verdicts(run, "gateway") == (0, [("yes", f"{one} accounts")])
    monkeypatch.setenv("COSTMETER_GATEWAY_DATABASE_AWAY", "closed")
    assert "(none goes on while the database is away)" in verdicts(run, "gateway")[1][0][1]
    monkeypatch.setenv("COSTMETER_GATEWAY_VENDOR_KEY", "sk-0123456789 abcdef")
    code, [(verdict, said)] = verdicts(run, "gateway")
    assert (code, verdict) == (1, "no")
    assert said == "COSTMETER_GATEWAY_VENDOR_KEY: is no key: write 8 to 512 ASCII characters without spaces"


def test_a_gateway_with_a_vendor_key_needs_the_database_of_its_keys(
    run: Run, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_GATEWAY_VENDOR_KEY", "sk-0123456789abcdef")
    monkeypatch.setenv("COSTMETER_SERVER_URL", "http://127.0.0.1:9")
    said = "with a vendor key the database is asked who calls: unset COSTMETER_SERVER_URL"
    assert verdicts(run, "gateway")[1][0][1].startswith(said)
    assert run("gateway").refused.startswith(said)
