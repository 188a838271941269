"""What is due is sent until it is accepted or given up; however many send, and whatever fails, each has one id."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from costmeter.core.deliveries import LONGEST_PAUSE, MOST_ATTEMPTS, Channel
from costmeter.core.errors import RefusedError, UnreachableError
from costmeter.core.notices import Message
from costmeter.services.keep_told import Outbox
from costmeter.services.route_notices import route_notices
from costmeter.services.send_notices import CLAIM, REST, Sent, send_notices
from costmeter.store import notices
from costmeter.store.engine import in_transaction
from tests.alerts.messages import NOW, deliveries, raise_notices
from tests.make import at

Behaviour = Callable[[Message], None]


class Receiver:
    """A channel that keeps what it is given; `answers` may raise, one each message, then no more."""

    kind = "mail"

    def __init__(self, name: str = "mail", *answers: Exception) -> None:
        self.name, self.answers, self.told = name, [*answers], list[str]()
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        with self._lock:
            self.told.append(message.notice_id)
            if self.answers:
                raise self.answers.pop(0)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = at(NOW)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def send(engine: Engine, clock: Clock, *channels: Channel) -> Sent:
    named = {channel.name: channel for channel in channels}
    route_notices(engine, named, digests={}, site=None, clock=clock)
    return send_notices(engine, named, clock=clock)


def test_what_is_accepted_is_sent_once(engine: Engine, clock: Clock) -> None:
    ids = raise_notices(engine, "one", "two")
    mail, hook = Receiver("mail"), Receiver("hook")
    assert send(engine, clock, mail, hook) == Sent(accepted=4)
    clock.now += timedelta(days=1)
    assert send(engine, clock, mail, hook) == Sent()
    assert (mail.told, hook.told) == (ids, ids)
    assert {(row["state"], row["attempts"], row["error"]) for row in deliveries(engine)} == {("accepted", 1, None)}
    assert {row["ended_at"] for row in deliveries(engine)} == {at(NOW)}


def test_what_is_not_taken_is_tried_again_later_and_told_with_the_same_id(engine: Engine, clock: Clock) -> None:
    (notice_id,) = raise_notices(engine, "one")
    mail = Receiver("mail", UnreachableError("is away"), UnreachableError("is still away"))
    assert send(engine, clock, mail) == Sent(put_off=1)
    (row,) = deliveries(engine)
    assert (row["state"], row["attempts"], row["error"], row["ended_at"]) == ("waiting", 1, "is away", None)
    assert timedelta(seconds=2.5) <= row["due_at"] - at(NOW) <= timedelta(seconds=5)
    assert send(engine, clock, mail) == Sent()
    clock.now = row["due_at"]
    assert send(engine, clock, mail) == Sent(put_off=1)
    clock.now = deliveries(engine)[0]["due_at"]
    assert send(engine, clock, mail) == Sent(accepted=1)
    assert mail.told == [notice_id] * 3
    assert deliveries(engine)[0]["error"] is None


def test_what_the_receiver_asks_for_is_heard(engine: Engine, clock: Clock) -> None:
    raise_notices(engine, "one")
    send(engine, clock, Receiver("mail", UnreachableError("too many", pause=timedelta(hours=2))))
    assert deliveries(engine)[0]["due_at"] == at(NOW) + timedelta(hours=2)


def test_what_is_refused_is_given_up_at_once_and_loudly(
    engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (notice_id,) = raise_notices(engine, "one")
    assert send(engine, clock, Receiver("mail", RefusedError("is gone"))) == Sent(given_up=1)
    (row,) = deliveries(engine)
    assert (row["state"], row["error"], row["ended_at"]) == ("given_up", "is gone", at(NOW))
    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert record.getMessage() == (
        f"notice {notice_id} (Budget one: 82.4 % spent, 412.35 USD of 500.00 USD) is given up for channel mail: is gone"
    )


def test_after_two_to_three_days_it_is_given_up(engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    raise_notices(engine, "one")
    mail = Receiver("mail", *(UnreachableError("is away") for _ in range(MOST_ATTEMPTS)))
    while deliveries(engine) == [] or deliveries(engine)[0]["state"] == "waiting":
        send(engine, clock, mail)
        clock.now = deliveries(engine)[0]["due_at"]
    (row,) = deliveries(engine)
    assert (row["state"], row["attempts"], row["error"]) == ("given_up", MOST_ATTEMPTS, "is away (24 attempts)")
    assert len(mail.told) == MOST_ATTEMPTS
    assert timedelta(days=1.5) < clock.now - at(NOW) < timedelta(days=3.5)
    assert "ERROR" in {record.levelname for record in caplog.records}


def test_what_was_given_up_can_be_tried_as_if_it_were_new(engine: Engine, clock: Clock) -> None:
    first, second = raise_notices(engine, "one", "two")
    mail = Receiver("mail", RefusedError("is gone"), RefusedError("is gone"))
    send(engine, clock, mail)
    key = deliveries(engine)[1]["notice_id"]
    again = in_transaction(engine, lambda c: notices.try_again(c, at(NOW), channel="mail", notice_id=key))
    assert (again, send(engine, clock, mail)) == (1, Sent(accepted=1))
    rest = in_transaction(engine, lambda c: notices.try_again(c, at(NOW), channel=None, notice_id=None))
    assert (rest, send(engine, clock, mail)) == (1, Sent(accepted=1))
    assert mail.told == [first, second, second, first]


def test_a_channel_that_is_taken_out_of_the_file_gives_up_what_waits(engine: Engine, clock: Clock) -> None:
    raise_notices(engine, "one")
    route_notices(engine, ["mail"], digests={}, site=None, clock=clock)
    assert send(engine, clock, Receiver("hook")) == Sent(given_up=1)
    assert deliveries(engine)[0]["error"].startswith("there is no channel 'mail'")


def test_whatever_a_channel_raises_the_others_go_on(
    engine: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    raise_notices(engine, "one")
    mail, hook = Receiver("mail", ZeroDivisionError("a secret")), Receiver("hook")
    assert send(engine, clock, mail, hook) == Sent(accepted=1, put_off=1)
    assert deliveries(engine)[1]["error"] == "the channel failed: ZeroDivisionError"


def test_where_one_cannot_be_told_the_others_of_its_channel_rest_and_count_no_attempt(
    engine: Engine, clock: Clock
) -> None:
    ids = raise_notices(engine, "one", "two", "three")
    mail = Receiver("mail", UnreachableError("is away", pause=LONGEST_PAUSE))
    assert send(engine, clock, mail) == Sent(put_off=1)
    assert [row["attempts"] for row in deliveries(engine)] == [1, 0, 0]
    clock.now += REST
    assert send(engine, clock, mail) == Sent(accepted=2)
    assert mail.told == ids


def test_a_claim_lapses_so_that_a_sender_that_died_only_delays(engine: Engine, clock: Clock) -> None:
    (notice_id,) = raise_notices(engine, "one")
    mail = Receiver("mail", KeyboardInterrupt())  # type: ignore[arg-type]  # what ends a process in the middle
    with pytest.raises(KeyboardInterrupt):
        send(engine, clock, mail)
    clock.now += CLAIM - timedelta(microseconds=1)
    assert send(engine, clock, mail) == Sent()
    clock.now += timedelta(microseconds=1)
    assert send(engine, clock, mail) == Sent(accepted=1)
    assert mail.told == [notice_id] * 2
    assert deliveries(engine)[0]["attempts"] == 2


class Slow(Receiver):
    """Takes so long that its claim lapses, and another sender tells the same."""

    def __init__(self, meanwhile: Callable[[], object], *answers: Exception) -> None:
        super().__init__("mail", *answers)
        self._meanwhile = meanwhile

    def send(self, message: Message) -> None:
        self._meanwhile()
        super().send(message)


@pytest.mark.parametrize("late", [None, UnreachableError("late"), RefusedError("late")])
def test_what_another_sender_has_accepted_meanwhile_stays_accepted(
    engine: Engine, clock: Clock, late: Exception | None
) -> None:
    raise_notices(engine, "one")
    other = Receiver("mail")

    def meanwhile() -> None:
        clock.now += CLAIM
        assert send(engine, clock, other) == Sent(accepted=1)

    send(engine, clock, Slow(meanwhile, *([late] if late else [])))
    (row,) = deliveries(engine)
    assert (row["state"], row["error"], row["attempts"]) == ("accepted", None, 2)


def test_what_is_accepted_late_is_accepted_though_another_sender_failed(engine: Engine, clock: Clock) -> None:
    raise_notices(engine, "one")

    def meanwhile() -> None:
        clock.now += CLAIM
        send(engine, clock, Receiver("mail", UnreachableError("is away")))

    assert send(engine, clock, Slow(meanwhile)) == Sent(accepted=1)
    assert deliveries(engine)[0]["state"] == "accepted"


def test_many_senders_at_once_send_each_delivery_once(engine: Engine, clock: Clock) -> None:
    ids = raise_notices(engine, *(f"budget-{number}" for number in range(20)))
    mail, hook = Receiver("mail"), Receiver("hook")
    threads = [threading.Thread(target=send, args=(engine, clock, mail, hook)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    send(engine, clock, mail, hook)  # what a round left, as its time was over
    assert (Counter(mail.told), Counter(hook.told)) == (Counter(ids), Counter(ids))
    assert {(row["state"], row["attempts"]) for row in deliveries(engine)} == {("accepted", 1)}


def test_an_ending_sender_begins_no_more(engine: Engine, clock: Clock) -> None:
    raise_notices(engine, "one", "two", "three")
    mail = Receiver("mail")
    outbox = Outbox(engine, {"mail": mail}, {}, None, clock)
    assert outbox.empty(lambda: len(mail.told) >= 2) == Sent(accepted=2)
    assert [row["state"] for row in deliveries(engine)] == ["accepted", "accepted", "waiting"]


def test_an_outbox_is_emptied_round_by_round(engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costmeter.services.send_notices.AT_ONCE", 2)
    raise_notices(engine, *"abcde")
    assert Outbox(engine, {"mail": Receiver("mail")}, {}, None, clock).empty() == Sent(accepted=5)
