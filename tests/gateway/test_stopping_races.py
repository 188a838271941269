"""A budget of 1.00 and two hundred callers at two gateways: what the vendor charged is compared with it."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from costmeter.core.reservations import OPEN, RELEASED, SETTLED
from costmeter.services.expire_reservations import expire_reservations
from costmeter.services.post_all import post_all
from costmeter.services.verify import verify
from costmeter.simulator import Simulator
from costmeter.store.tables import AccountRow, ReservationRow
from tests.api.serving import until
from tests.e2e.test_gateway_served import process
from tests.gateway.stopping import KEY, a_limit, ask, held, spent, states
from tests.make import book, rows, top_up, usd

CALLERS, TURNS = 200, 2
BOUNDED = 30  # no more calls than this fit by their bounds; those that are settled make room for others
# 24,000 characters: a call costs from 0.005 (off-peak) to 0.01 (peak) and is bounded by more than three times that, so
# that CALLERS at once pass the budget, and so do their TURNS.
LONG = "The river said to the hill what it had heard. " * 520


@pytest.fixture
def vendor() -> Iterator[Simulator]:
    with Simulator(topped_up="1000") as running:
        yield running


async def race(urls: list[str]) -> Counter[int]:
    """How often each status was answered to callers who begin together and ask again and again."""
    limits = httpx.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:

        async def call(number: int) -> list[int]:
            said = []
            for turn in range(TURNS):
                body = {
                    "model": "deepseek-v4-pro",
                    "max_tokens": 100,
                    "stream": number % 2 == 0,
                    "messages": [{"role": "user", "content": f"{number} {turn} {LONG}"}],
                }
                url = f"{urls[number % len(urls)]}/chat/completions"
                said.append((await client.post(url, json=body, headers=KEY)).status_code)
            return said

        answers = await asyncio.gather(*(call(number) for number in range(CALLERS)))
    return Counter(status for said in answers for status in said)


def settings_of(url: str, folder: Path, vendor: Simulator, mode: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "SPOOL_DIR": str(folder / "spool"),
        "GATEWAY_UPSTREAM": vendor.base_url,
        "GATEWAY_STOPPING": mode,
        "GATEWAY_DATABASE_AWAY": "closed",
    }


def raced(engine: Engine, settings: dict[str, str]) -> Counter[int]:
    """The answers of two gateways of a database, which end well."""
    engine.dispose()
    with ExitStack() as stack:
        urls = [stack.enter_context(process("gateway", **settings))[0] for _ in range(2)]
        found: Counter[int] = Counter()
        for _ in range(5):  # on a busy machine a race may be over before a call of it is settled
            found.update(asyncio.run(race(urls)))
            if found[200] > BOUNDED:
                break
    post_all(engine, book=book(), now=datetime.now(UTC))
    return found


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_a_budget_is_never_passed_but_by_calls_in_flight_in_soft_mode(
    mode: str, engine: Engine, database_url: str, vendor: Simulator, tmp_path: Path
) -> None:
    a_limit(engine, "1.00")
    answers = raced(engine, settings_of(database_url, tmp_path, vendor, mode))
    costs = sorted(paid.bill.cost for paid in vendor.ledger.calls)
    charged = sum(costs)
    assert set(answers) <= {200, 402, 503}
    assert answers[200] == len(costs) > BOUNDED
    assert answers[402] > 0
    over = 0 if mode == "hard" else sum(costs[-CALLERS:])
    assert charged <= usd("1.00") + over
    assert (spent(engine), held(engine)) == (charged, 0)
    assert {SETTLED} <= set(states(engine)) <= {SETTLED, RELEASED}  # given back where the database answered too late
    assert verify(engine, full=True) == []


def test_a_balance_is_never_passed_in_hard_mode(
    engine: Engine, database_url: str, vendor: Simulator, tmp_path: Path
) -> None:
    top_up(engine, "1.00", "2026-01-01T00:00:00Z")
    settings = settings_of(database_url, tmp_path, vendor, "hard") | {"GATEWAY_STOP_AT_BALANCE": "true"}
    answers = raced(engine, settings)
    charged = sum(paid.bill.cost for paid in vendor.ledger.calls)
    assert set(answers) <= {200, 402, 503}
    assert answers[200] > BOUNDED
    assert answers[402] > 0
    assert charged <= usd("1.00")
    assert [row["overdraft"] for row in rows(engine, AccountRow)] == [0]
    assert held(engine) == 0
    assert verify(engine, full=True) == []


def test_a_gateway_that_is_killed_leaves_what_it_held_until_that_expires(
    engine: Engine, database_url: str, vendor: Simulator, tmp_path: Path
) -> None:
    a_limit(engine, "1.00")
    engine.dispose()
    settings = settings_of(database_url, tmp_path, vendor, "hard")
    stalls = {**KEY, "x-simulator-fault": "stall;after=3;seconds=30"}
    body = {"model": "deepseek-flash", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    with suppress(AssertionError), process("gateway", **settings) as (url, running):  # it does not end well
        assert ask(url, "before").status_code == 200
        with httpx.stream("POST", f"{url}/chat/completions", json=body, headers=stalls, timeout=60) as answer:
            assert next(answer.iter_raw())
            assert until(lambda: sorted(states(engine)) == [OPEN, SETTLED])
            running.send_signal(signal.SIGKILL)
            running.wait()
            answer.close()
    assert states(engine).count(OPEN) == 1
    assert held(engine) > 0
    with process("gateway", **settings) as (url, _):  # it records what the dead one left, as a call without usage
        assert ask(url, "after").status_code == 200
    assert held(engine) > 0
    assert expire_reservations(engine, now=datetime.now(UTC) + timedelta(minutes=36)) == 1
    assert held(engine) == 0
    assert Counter(row["state"] for row in rows(engine, ReservationRow)) == {SETTLED: 2, "expired": 1}
    assert verify(engine, full=True) == []
