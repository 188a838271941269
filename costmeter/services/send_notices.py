"""Send notices: every delivery that is due, until its receiver has accepted it or it is given up, loudly."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from costmeter.core.deliveries import ACCEPTED, GIVEN_UP, WAITING, Channel, is_last, pause_after
from costmeter.core.errors import RefusedError, UnreachableError
from costmeter.core.notices import Message
from costmeter.services.route_notices import unknown
from costmeter.store import notices
from costmeter.store.engine import in_transaction, reading
from costmeter.store.notices import Delivery

log = logging.getLogger(__name__)
AT_ONCE = 1_000  # deliveries of one round
ROUND = 5.0  # seconds after which no delivery is begun any more, so that a slow channel keeps no other waiting
MOST_THREADS = 8
REST = timedelta(seconds=30)  # what the others of a channel wait at most where one could not be told
CLAIM = timedelta(minutes=5)  # longer than any channel takes; a sender that was killed delays its delivery so long


class Sent(NamedTuple):
    """What became of the deliveries of one round."""

    accepted: int = 0
    put_off: int = 0
    given_up: int = 0


def send_notices(
    engine: Engine,
    channels: Mapping[str, Channel],
    *,
    clock: Callable[[], datetime],
    claim: timedelta = CLAIM,
    is_ending: Callable[[], bool] = lambda: False,
) -> Sent:
    """Try each delivery that is due once; channels side by side, those of one channel one after the other.

    At least once, each with the one id of its notice: a delivery is claimed in one transaction, sent outside of any,
    and what became of it is written in another. Any number of processes may send at once.
    """
    with reading(engine) as connection:
        due = notices.due(connection, clock(), AT_ONCE)
    lanes = [[*some] for _, some in groupby(sorted(due, key=_channel), key=_channel)]  # each still in order
    sender = _Sender(engine, channels, clock, claim, is_ending)
    with ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="costmeter-sender") as threads:
        ended = Counter(outcome for outcomes in threads.map(sender.send_all, lanes) for outcome in outcomes)
    return Sent(ended[ACCEPTED], ended[WAITING], ended[GIVEN_UP])


def _channel(delivery: Delivery) -> str:
    return delivery.channel


class _Sender:
    """What the threads of one round have in common."""

    def __init__(
        self,
        engine: Engine,
        channels: Mapping[str, Channel],
        clock: Callable[[], datetime],
        claim: timedelta,
        is_ending: Callable[[], bool],
    ) -> None:
        self._engine, self._channels, self._clock = engine, channels, clock
        self._claim, self._is_ending, self._ends = claim, is_ending, time.monotonic() + ROUND

    def send_all(self, due: Sequence[Delivery]) -> list[str]:
        """What became of each delivery of a channel; where one is put off the others are left for a later round."""
        return [*self._outcomes(due)]

    def _outcomes(self, due: Sequence[Delivery]) -> Iterator[str]:
        for delivery in due:
            if self._is_ending() or time.monotonic() > self._ends:
                return
            outcome = self._send(delivery)
            if outcome is not None:
                yield outcome
            if outcome == WAITING:
                return

    def _send(self, delivery: Delivery) -> str | None:
        """What became of one delivery; None where another sender has it."""
        until = self._clock() + self._claim
        claimed = in_transaction(self._engine, lambda connection: notices.claim(connection, delivery, until))
        if claimed is None:
            return None
        with reading(self._engine) as connection:
            message = notices.message_of(connection, claimed)
        channel = self._channels.get(claimed.channel)
        try:
            if channel is None:
                raise RefusedError(unknown(claimed.channel))
            channel.send(message)
        except RefusedError as error:
            return self._give_up(claimed, message, str(error))
        except UnreachableError as error:
            return self._put_off(claimed, message, str(error), error.pause)
        except Exception as error:  # whatever it is, the delivery must come to an end, and the others must go on
            log.exception("channel %s failed", claimed.channel)
            return self._put_off(claimed, message, f"the channel failed: {type(error).__name__}", None)
        in_transaction(self._engine, lambda connection: notices.accept(connection, claimed, self._clock()))
        return ACCEPTED

    def _put_off(self, claimed: Delivery, message: Message, error: str, asked_for: timedelta | None) -> str | None:
        if is_last(claimed.attempts):
            return self._give_up(claimed, message, f"{error} ({claimed.attempts} attempts)")
        now, pause = self._clock(), pause_after(claimed.attempts, random.random(), asked_for)

        def put_off(connection: Connection) -> None:
            notices.put_off(connection, claimed, now + pause, error)
            notices.let_rest(connection, claimed.channel, now, now + min(pause, REST))

        in_transaction(self._engine, put_off)
        log.warning("notice %s is not told through %s yet: %s", message.notice_id, claimed.channel, error)
        return WAITING

    def _give_up(self, claimed: Delivery, message: Message, error: str) -> str | None:
        is_ours = in_transaction(
            self._engine, lambda connection: notices.give_up(connection, claimed, self._clock(), error)
        )
        if is_ours:
            said = "notice %s (%s) is given up for channel %s: %s"
            log.error(said, message.notice_id, message.title, claimed.channel, error)
        return GIVEN_UP if is_ours else None
