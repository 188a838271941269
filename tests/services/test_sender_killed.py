"""A sender that is killed at any point only delays: the next one tells the rest, and each notice with one id."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from standardwebhooks import Webhook

from costmeter.alerts.webhook import WebhookChannel
from costmeter.services.route_notices import route_notices
from costmeter.services.send_notices import send_notices
from costmeter.store.engine import open_engine
from tests.alerts.messages import deliveries, raise_notices
from tests.alerts.receivers import Handler, Hook
from tests.forked import Say, fork

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwVvx0Yy3kXqE="
CLAIM = timedelta(seconds=0.5)
NOTICES, KILLS, LONGEST = 30, 6, 60


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook().served() as served:
        yield served


def late(handler: Handler) -> None:
    """Accept, but not at once: so that a kill finds messages on their way."""
    time.sleep(0.01)
    handler.answer(204)


def tell(url: str, hook_url: str) -> None:
    """What a sending process does, until it is killed or nothing is left."""
    engine = open_engine(url)
    channels = {"hook": WebhookChannel("hook", hook_url, SECRET)}
    route_notices(engine, channels, digests={}, site=None, clock=now)
    ends = time.monotonic() + LONGEST
    while any(row["state"] == "waiting" for row in deliveries(engine)):
        send_notices(engine, channels, clock=now, claim=CLAIM)
        assert time.monotonic() < ends, "what a dead sender had claimed never became due"
        time.sleep(0.02)
    engine.dispose()


@pytest.mark.parametrize("seed", [1, 2])
def test_senders_that_are_killed_lose_nothing_and_change_no_id(
    engine: Engine, database_url: str, hook: Hook, seed: int
) -> None:
    chance = random.Random(seed)
    hook.answers = [late]
    ids = raise_notices(engine, *(f"budget-{number}" for number in range(NOTICES)))
    engine.dispose()
    for _ in range(KILLS):
        seen = len(hook.posts)

        def work(_say: Say) -> None:
            tell(database_url, hook.url)

        child = fork(work)
        enough, ends = seen + chance.randint(1, 4), time.monotonic() + LONGEST
        while len(hook.posts) < enough and time.monotonic() < ends:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        child.kill()
        code, _ = child.end()
        assert code in (-9, 0)
    before = {row["state"] for row in deliveries(engine)}
    assert before == {"accepted", "waiting"}, "the kills were to come in the middle"
    tell(database_url, hook.url)

    assert {(row["state"], row["error"]) for row in deliveries(engine)} == {("accepted", None)}
    assert {post.headers["webhook-id"] for post in hook.posts} == {*ids}
    bodies = {(post.headers["webhook-id"], post.body) for post in hook.posts}
    assert len(bodies) == NOTICES, "a notice was told with other words or another id"
    for post in hook.posts:
        Webhook(SECRET).verify(post.body, dict(post.headers))
