"""A channel is tried by a real test notice; what was given up is tried again; both are in the audit log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from costmeter.alerts.webhook import WebhookChannel
from costmeter.core.errors import InputError
from costmeter.services.keep_told import Outbox
from costmeter.services.retry_deliveries import read_notice_id, retry_deliveries
from costmeter.services.try_channel import try_channel
from costmeter.store import audit
from costmeter.store.engine import reading
from tests.alerts.messages import deliveries, kept_notices, raise_notices
from tests.alerts.receivers import Hook
from tests.make import NOW, at

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwVvx0Yy3kXqE="


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook().served() as served:
        yield served


def logged(engine: Engine) -> list[tuple[str, str, dict[str, object]]]:
    with reading(engine) as connection:
        return [(one.action, one.subject, one.change) for one in audit.listed(connection, limit=9)]


@pytest.mark.parametrize(("status", "error"), [(204, None), (500, "answers 500"), (410, "gone for good")])
def test_what_the_receiver_said_is_told(engine: Engine, hook: Hook, status: int, error: str | None) -> None:
    hook.answers = [status]
    channels = {"ops": WebhookChannel("ops", hook.url, SECRET)}
    trial = try_channel(engine, channels, "ops", site="https://costs.example", by="ada", now=at(NOW))
    (post,) = hook.posts
    assert (post.json["id"], post.json["type"]) == (trial.notice_id, "test.test")
    assert post.json["data"]["url"] == "https://costs.example/alerts"
    assert (trial.error is None) == (error is None)
    assert error is None or error in str(trial.error)
    assert logged(engine) == [("alerts.test", "ops", {"notice_id": trial.notice_id, "accepted": error is None})]
    assert kept_notices(engine) == [], "it is no notice of the books"


def test_a_channel_that_is_not_there(engine: Engine) -> None:
    with pytest.raises(InputError, match="channel 'ops': is none of"):
        try_channel(engine, {}, "ops", site=None, by="ada", now=at(NOW))
    assert logged(engine) == []


def test_what_was_given_up_is_tried_again_once(engine: Engine, hook: Hook) -> None:
    hook.answers = [410, 410, 204]
    first, second = raise_notices(engine, "one", "two")
    channels = {"ops": WebhookChannel("ops", hook.url, SECRET)}
    outbox = Outbox(engine, channels, {}, None, lambda: at(NOW))
    assert outbox.empty().given_up == 2
    assert retry_deliveries(engine, notice_id=read_notice_id(second), by="ada", now=at(NOW)) == 1
    assert retry_deliveries(engine, notice_id=read_notice_id(second), by="ada", now=at(NOW)) == 0
    assert [one["state"] for one in deliveries(engine)] == ["given_up", "waiting"]
    assert retry_deliveries(engine, channel="mail", by="ada", now=at(NOW)) == 0
    assert retry_deliveries(engine, by="ada", now=at(NOW)) == 1
    assert outbox.empty().accepted == 2
    assert logged(engine)[::-1] == [
        ("alerts.retry", second, {"notice_id": second, "channel": None, "deliveries": 1}),
        ("alerts.retry", "all", {"notice_id": None, "channel": None, "deliveries": 1}),
    ]
    assert first != second


@pytest.mark.parametrize("text", ["", "x", "0" * 31, "0" * 34])
def test_what_is_no_id_of_a_notice(text: str) -> None:
    with pytest.raises(InputError, match="no id of a notice"):
        read_notice_id(text)
