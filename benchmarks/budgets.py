"""What 1,000 budgets on an account cost its posting: the same calls posted to accounts with and without, in turn."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from statistics import mean, median

from sqlalchemy import Engine

from benchmarks import databases, traffic
from costmeter.prices.read import builtin_book
from costmeter.services.add_budget import NewBudget, add_budget
from costmeter.services.post_charges import BATCH, post_charges
from costmeter.services.record_calls import Received, record_calls
from costmeter.services.verify import verify
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine
from costmeter.wiring import collect_seldom

BUDGETS, ROUNDS = 1_000, 24
FASTEST = 6  # rounds of each that are compared: others on the machine make a posting take up to three times as long
CALLS = BATCH  # as many as the poster posts at once where many wait
PLAIN, MIXED, WHOLE = range(3)
NAMES = {MIXED: "of users, projects, teams and both", WHOLE: "that count every call"}


def lines() -> Iterator[str]:
    """How much slower posting is, as a share of it: all three post in turn, and the fastest rounds of each count."""
    collect_seldom()  # as every process does that posts
    with databases.sqlite_file() as path, databases.postgresql_server() as server:
        for url in (f"sqlite:///{path}", databases.new_database(server)):
            engine = open_engine(url)
            rounds = list(_rounds(engine))
            took = {account: sorted(one[account] for one in rounds) for account in (PLAIN, *NAMES)}
            plain = mean(took[PLAIN][:FASTEST])
            yield (
                f"{engine.dialect.name}: posting takes {plain:.0f} us a call in batches of {CALLS:,} "
                f"(the fastest {FASTEST} of {ROUNDS} rounds; all: {took[PLAIN][0]:.0f} .. {took[PLAIN][-1]:.0f})"
            )
            for account, name in NAMES.items():
                slower = mean(took[account][:FASTEST]) / plain - 1
                all_rounds = median(one[account] / one[PLAIN] - 1 for one in rounds)
                yield f"  with {BUDGETS:,} budgets {name}: {slower:+.1%} (median of all rounds: {all_rounds:+.1%})"
            assert verify(engine, full=True) == []
            engine.dispose()


def _rounds(engine: Engine) -> Iterator[dict[int, float]]:
    chance = random.Random(7)
    for account in NAMES:
        _add_budgets(engine, account)
    for number in range(ROUNDS + 1):  # the first warms up what is kept in memory
        order = [PLAIN, MIXED, WHOLE]
        chance.shuffle(order)
        took = {account: _post(engine, account, number) for account in order}
        if number:
            yield took


def _post(engine: Engine, account: int, number: int) -> float:
    """Microseconds that posting takes for a call; the same calls for every account."""
    book = builtin_book()
    bodies = traffic.bodies(random.Random(number), CALLS, minute=number, accounts=account + 1, first=account)
    record_calls(engine, [Received(body) for body in bodies], now=traffic.NOW, book=book, home=Home())
    began = time.perf_counter()
    assert post_charges(engine, traffic.account_name(account), book=book, now=traffic.NOW) == CALLS
    return (time.perf_counter() - began) / CALLS * 1e6


def _add_budgets(engine: Engine, account: int) -> None:
    for number in range(BUDGETS):
        new = NewBudget(
            traffic.account_name(account), f"budget {number}", ("day", "week", "month", "30d")[number % 4], "1000.00",
            where=() if account == WHOLE else _where(number), starts_at=traffic.START,
        )  # fmt: skip
        add_budget(engine, new, by="bench", home=Home(), now=traffic.NOW)


def _where(number: int) -> tuple[str, ...]:
    """Each of 500 users has one, each of 20 projects, each of three teams; the others are of users in projects."""
    if number < 500:
        return (f"user=user-{number}",)
    if number < 520:
        return (f"project=project-{number - 500}",)
    if number < 523:
        return (f"tag:team={'abc'[number - 520]}",)
    return (f"project=project-{number % 20}", f"user=user-{number % 500}")
