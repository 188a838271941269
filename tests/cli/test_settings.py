"""The settings: from the environment or from files, unknown ones warned of, bad ones refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmeter.settings import Settings
from tests.cli.running import Run

KNOWN = ", ".join(sorted(f"COSTMETER_{name.upper()}" for name in Settings.model_fields))


def test_the_default_database_is_a_file_in_the_data_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "deep" / "data"))

    assert run("account", "add", "team").done == "added account team: USD, UTC\n"
    assert (tmp_path / "deep" / "data" / "costmeter" / "costmeter.sqlite3").is_file()


@pytest.mark.filterwarnings("default:.*is no setting of costmeter.*")
def test_an_unknown_name_is_a_warning(run: Run, sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTMETER_CURENCY", "CNY")

    ran = run("account", "add", "team")

    assert (ran.code, ran.out) == (0, "added account team: USD, UTC\n")
    lines = set(ran.err.splitlines())
    assert lines == {f"costmeter: warning: COSTMETER_CURENCY is no setting of costmeter; known: {KNOWN}"}


@pytest.mark.filterwarnings("default:.*is no setting of costmeter.*")
def test_a_file_of_an_unknown_name_is_a_warning_and_is_not_read(
    run: Run, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_SECRET_FILE", "/nowhere")

    assert "warning: COSTMETER_SECRET_FILE is no setting" in run("account", "list").err


def test_a_setting_may_come_from_a_file(run: Run, sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSTMETER_DATABASE_URL")
    for name, content in {"DATABASE_URL": sqlite, "CURRENCY": "CNY", "TIMEZONE": "Asia/Shanghai"}.items():
        (tmp_path / name).write_text(f"{content}\n")
        monkeypatch.setenv(f"COSTMETER_{name}_FILE", str(tmp_path / name))

    assert run("account", "add", "team").done == "added account team: CNY, Asia/Shanghai\n"
    assert not (tmp_path / "data").exists(), "the default database is not made"


def test_a_file_that_cannot_be_read_is_refused_by_name(
    run: Run, sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_CURRENCY_FILE", str(tmp_path / "missing"))
    says = f"COSTMETER_CURRENCY_FILE '{tmp_path / 'missing'}': cannot be read: No such file or directory"
    assert run("account", "list").refused == says

    (tmp_path / "missing").write_bytes(b"\xff\xfe")
    assert run("account", "list").refused == f"COSTMETER_CURRENCY_FILE '{tmp_path / 'missing'}': is no UTF-8 text"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CURRENCY", "EUR", "COSTMETER_CURRENCY 'EUR': Input should be 'USD' or 'CNY'"),
        ("TIMEZONE", "Mars/Olympus", "COSTMETER_TIMEZONE 'Mars/Olympus': is no IANA time zone; use one such as"),
        ("DATABASE_URL", "mysql://me:hidden@there/x", "COSTMETER_DATABASE_URL 'mysql://me:***@there/x': use an sqlite"),
        ("DATABASE_URL", "me:hidden@there", "COSTMETER_DATABASE_URL '***': is no database URL"),
    ],
)
def test_a_bad_setting_is_refused_by_name_value_and_remedy(
    run: Run, sqlite: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"COSTMETER_{name}", value)

    refused = run("account", "add", "team").refused
    assert refused.startswith(says)
    assert "hidden" not in refused


def test_accounts_made_at_their_first_mention_are_those_of_the_settings(
    run: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTMETER_CURRENCY", "CNY")
    monkeypatch.setenv("COSTMETER_TIMEZONE", "Asia/Shanghai")
    run("credit", "add", "--kind", "granted", "--amount", "1.00")

    (account,) = run("account", "list", "--json").json
    assert (account["currency"], account["timezone"]) == ("CNY", "Asia/Shanghai")
