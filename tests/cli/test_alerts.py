"""`costmeter alerts`: trying a channel, sending what is due, and looking after what was not told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine
from standardwebhooks import Webhook

from costmeter.core.periods import format_instant
from tests.alerts.messages import raise_notices
from tests.alerts.receivers import Hook
from tests.cli.running import Run

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwVvx0Yy3kXqE="
NOW = format_instant(datetime.now(UTC))


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    ours = logging.getLogger("costmeter")
    kept = (ours.handlers[:], ours.level)
    yield
    ours.handlers, ours.level = kept


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """A receiver, and a file that has it as the channel `ops`."""
    with Hook().served() as served:
        (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
        file = tmp_path / "channels.toml"
        file.write_text(f'[ops]\nkind = "webhook"\nurl = "{served.url}"\nsecret_file = "secret"\n', encoding="utf-8")
        monkeypatch.setenv("COSTMETER_CHANNELS", str(file))
        yield served


def test_a_test_tells_through_one_channel_and_needs_no_database(run: Run, hook: Hook) -> None:
    said = run("alerts", "test", "ops").done
    (post,) = hook.posts
    assert said == f"ops: accepted (notice {post.headers['webhook-id']})\n"
    body = Webhook(SECRET).verify(post.body, dict(post.headers))
    assert (body["type"], body["data"]["title"]) == ("test.test", "Test of channel ops")


@pytest.mark.parametrize(("status", "why"), [(410, "it is gone for good"), (500, "answers 500")])
def test_a_test_that_is_not_accepted_says_why(run: Run, hook: Hook, status: int, why: str) -> None:
    hook.answers = [status]
    ran = run("alerts", "test", "ops")
    assert ran.code == 1
    assert ran.out.startswith("ops: not accepted: 127.0.0.1:")
    assert why in ran.out
    found = json.loads(run("alerts", "test", "ops", "--json").out)
    assert (found["channel"], found["accepted"]) == ("ops", False)
    assert why in found["error"]


def test_a_channel_that_is_not_there_is_refused(run: Run, hook: Hook) -> None:
    assert run("alerts", "test", "mail").refused == "channel 'mail': is none of ops; see COSTMETER_CHANNELS"


def test_without_a_file_the_log_is_told(run: Run) -> None:
    ran = run("alerts", "test", "log")
    assert ran.code == 0
    assert ran.err.startswith("costmeter: INFO Test of channel log: This is a test of this channel.")


def test_what_is_due_is_sent_and_listed(run: Run, hook: Hook, engine: Engine, database: str) -> None:
    first, second = raise_notices(engine, "one", "two", now=NOW)
    assert run("alerts", "send").out == "accepted 2, put off 0, given up 0\n"
    assert run("alerts", "send", "--json").json == {"accepted": 0, "put_off": 0, "given_up": 0}
    found = run("alerts", "deliveries", "--json").json
    assert [(one["notice_id"], one["state"], one["channel"], one["attempts"]) for one in found] == [
        (second, "accepted", "ops", 1), (first, "accepted", "ops", 1),
    ]  # fmt: skip
    assert found[0]["title"] == "Budget two: 82.4 % spent, 412.35 USD of 500.00 USD"
    assert {post.headers["webhook-id"] for post in hook.posts} == {first, second}
    assert run("alerts", "deliveries", "--state", "waiting", "--json").json == []
    assert run("alerts", "deliveries", "--account", "other", "--json").json == []
    assert "Budget one" in run("alerts", "deliveries").done


def test_what_was_given_up_is_an_error_of_doctor_until_it_is_tried_again(
    run: Run, hook: Hook, engine: Engine, database: str
) -> None:
    first, _ = raise_notices(engine, "one", "two", now=NOW)
    hook.answers = [410]
    ran = run("alerts", "send")
    assert (ran.code, ran.out) == (1, "accepted 0, put off 0, given up 2\n")
    assert ran.err.count("costmeter: ERROR notice ") == 2
    doctor = run("doctor")
    assert doctor.code == 1
    assert "no    alerts: channel ops was given up for 2 notices of 7 days" in doctor.out
    assert "yes   channels: notices are told through ops" in doctor.out
    assert {one["error"] for one in run("alerts", "deliveries", "--state", "given_up", "--json").json} == {
        f"{hook.url.split('/')[2]} answers 410: it is gone for good; take the channel out of its file"
    }
    hook.answers = [204]
    assert run("alerts", "retry", "--channel", "mail").done == "0 deliveries are tried again\n"
    assert run("alerts", "retry", first).done == "1 deliveries are tried again\n"
    assert run("alerts", "retry", "--json").json == {"deliveries": 1}
    assert run("alerts", "send").out == "accepted 2, put off 0, given up 0\n"
    assert "alerts" not in run("doctor").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deliveries", "--state", "lost"], "state 'lost': use one of waiting, accepted, given_up"),
        (["retry", "xyz"], "notice 'xyz': is no id of a notice; see: costmeter alerts deliveries"),
        (["retry", "0199"], "notice '0199': is no id of a notice; see: costmeter alerts deliveries"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, sqlite: str, arguments: list[str], said: str) -> None:
    assert run("alerts", *arguments).refused == said


def test_doctor_says_what_is_wrong_with_the_file_of_channels(
    run: Run, sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "channels.toml").write_text("[ops]\nkind = 'sms'\n", encoding="utf-8")
    monkeypatch.setenv("COSTMETER_CHANNELS", str(tmp_path / "channels.toml"))
    ran = run("doctor")
    assert ran.code == 1
    assert "no    channels: ops.kind 'sms': write one of log, webhook, mail or apprise" in ran.out
