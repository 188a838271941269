"""Webhooks are signed, stamped and known by one id; a receiver that fails is told again, one that is gone is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from costmeter.alerts.webhook import WebhookChannel, body_of
from costmeter.core.errors import RefusedError, UnreachableError
from tests.alerts.messages import FACTS, NOTICE_ID, a_message
from tests.alerts.receivers import Answer, Hook, Post, drip, hang_up, hang_up_in_the_body, stall

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwVvx0Yy3kXqE="


def channel(hook: Hook, seconds: float = 20.0) -> WebhookChannel:
    return WebhookChannel("hook", hook.url, SECRET, seconds=seconds)


def verified(post: Post, secret: str = SECRET) -> object:
    return Webhook(secret).verify(post.body, dict(post.headers))


def test_the_signature_is_verified_by_the_library_of_the_specification(hook: Hook) -> None:
    channel(hook).send(a_message())
    (post,) = hook.posts
    assert verified(post) == json.loads(body_of(a_message()))
    assert post.headers["webhook-id"] == NOTICE_ID
    assert post.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        verified(post._replace(body=post.body.replace(b"412", b"413")))
    with pytest.raises(WebhookVerificationError):
        verified(post, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")


def test_the_body_says_what_happened_for_people_and_for_programs(hook: Hook) -> None:
    channel(hook).send(a_message())
    body = hook.posts[0].json
    assert (body["id"], body["type"], body["timestamp"]) == (NOTICE_ID, "budget.raised", "2025-03-19T07:30:00Z")
    assert body["data"]["facts"] == FACTS
    assert body["data"]["title"] == "Budget search: 82.4 % spent, 412.35 USD of 500.00 USD"
    assert body["data"]["url"] == "https://costmeter.example/budgets/search?account=default"
    assert body["data"]["tables"][0]["rows"][0] == ["u-17", "300.00 USD", "72.8 %"]


def test_every_attempt_has_the_same_id_and_body_and_its_own_time(hook: Hook) -> None:
    instants = iter([datetime.now(UTC) - timedelta(seconds=90), datetime.now(UTC)])
    replaying = WebhookChannel("hook", hook.url, SECRET, now=lambda: next(instants))
    for _ in range(2):
        replaying.send(a_message())
    first, second = hook.posts
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 90
    assert verified(first) == verified(second)


def test_an_old_message_that_is_played_again_is_seen_to_be_old(hook: Hook) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=6)
    WebhookChannel("hook", hook.url, SECRET, now=lambda: long_ago).send(a_message())
    with pytest.raises(WebhookVerificationError, match="too old"):
        verified(hook.posts[0])


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_accepts(hook: Hook, status: int) -> None:
    hook.answers = [status]
    channel(hook).send(a_message())
    assert len(hook.posts) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again_and_no_redirect_is_followed(hook: Hook, status: int) -> None:
    hook.answers = [lambda handler: handler.answer(status, Location=hook.url)]
    with pytest.raises(UnreachableError, match=rf"^127.0.0.1:\d+ answers {status}$") as raised:
        channel(hook).send(a_message())
    assert (len(hook.posts), raised.value.pause) == (1, None)


def test_what_is_gone_is_given_up_at_once(hook: Hook) -> None:
    hook.answers = [410]
    with pytest.raises(RefusedError, match="410"):
        channel(hook).send(a_message())


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("120", 120), ("0", 0), ("99999999999999", 365 * 86_400), ("soon", None), ("-5", None), ("", None)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heard(hook: Hook, asked: str, seconds: int | None, status: int) -> None:
    hook.answers = [lambda handler: handler.answer(status, Retry_After=asked)]
    with pytest.raises(UnreachableError) as raised:
        channel(hook).send(a_message())
    assert raised.value.pause == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(("ahead", "pause"), [(90, timedelta(seconds=90)), (-90, timedelta())])
def test_retry_after_may_be_an_instant(hook: Hook, ahead: int, pause: timedelta) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    asked = format_datetime(now + timedelta(seconds=ahead), usegmt=True)
    hook.answers = [lambda handler: handler.answer(429, Retry_After=asked)]
    with pytest.raises(UnreachableError) as raised:
        WebhookChannel("hook", hook.url, SECRET, now=lambda: now).send(a_message())
    assert raised.value.pause == pause


@pytest.mark.parametrize("manner", [stall, drip])
def test_a_receiver_that_stalls_or_drips_is_left(hook: Hook, manner: Answer) -> None:
    hook.answers = [manner]
    with pytest.raises(UnreachableError, match=r"did not answer within 0\.5 s"):
        channel(hook, seconds=0.5).send(a_message())


def test_a_receiver_that_hangs_up_has_not_accepted(hook: Hook) -> None:
    hook.answers = [hang_up]
    with pytest.raises(UnreachableError, match="cannot be reached: RemoteProtocolError"):
        channel(hook).send(a_message())


def test_once_it_has_said_2xx_it_has_accepted_whatever_follows(hook: Hook) -> None:
    hook.answers = [hang_up_in_the_body]
    channel(hook).send(a_message())


def test_nobody_there_is_told_without_the_path_of_the_url() -> None:
    nowhere = WebhookChannel("hook", "http://user:secret@127.0.0.1:1/hooks/token", SECRET)
    with pytest.raises(UnreachableError, match=r"^127\.0\.0\.1:1 cannot be reached: ConnectError$"):
        nowhere.send(a_message())
    assert SECRET not in repr(nowhere)
