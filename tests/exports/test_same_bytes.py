"""One history in two databases: every file has the same bytes, whatever the locale of the database makes of names."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from random import Random

from sqlalchemy import Engine

from costmeter.core.money import MAX_AMOUNT, UNITS, format_amount
from costmeter.core.periods import format_instant
from costmeter.exports.beancount import write_beancount
from costmeter.exports.focus import focus_export
from costmeter.exports.focus_format import Mode, Version
from costmeter.exports.journal import JOURNAL
from costmeter.prices.read import read_edition
from costmeter.services.reprice import reprice
from costmeter.store.engine import open_engine, reading
from costmeter.store.scope import Scope
from tests.exports.writing import as_csv, exported
from tests.late_prices import with_other_rate
from tests.make import an_event, at, give, record_and_post, set_up_account, top_up, usd
from tests.services.invariants import close

EXPORTS = [*(focus_export(version, mode) for version in Version for mode in Mode), JOURNAL]
NAMES = ["a", "B", "b", "-x", "_", "é", "中", "a b", "", None]
ZONES = {"tokyo": "Asia/Tokyo", "Zürich": "Europe/Zurich", "zulu": "UTC", "new york": "America/New_York"}
NOW = "2025-04-03T00:00:00Z"


def live(engine: Engine) -> None:
    """Three hundred calls of four accounts over two months, of which the first is closed half way."""
    random = Random(6)  # the same history twice
    for account, zone in ZONES.items():
        set_up_account(engine, account, timezone=zone)
        give(engine, "granted", "3.00", "2025-02-10T00:00:00Z", account=account, expires_at="2025-03-20T00:00:00Z")
        give(engine, "topped_up", "20.00", "2025-02-15T00:00:00Z", account=account, reference="invoice-17", now=NOW)
    bodies = []
    for number in range(300):
        instant = at("2025-02-09T00:00:00Z") + timedelta(seconds=random.randrange(50 * 86_400))
        tokens = {kind: random.randrange(10**6) for kind in ("hit", "miss", "output")}
        project, api_key = random.choice(NAMES), random.choice(NAMES)
        model = random.choice(["deepseek-chat", "deepseek-reasoner", "unknown"])
        body = an_event(f"call-{number}", format_instant(instant), **tokens, model=model, project=project)
        bodies.append({**body, "account": random.choice([*ZONES]), "api_key": api_key})
    record_and_post(engine, *bodies[:200], now=NOW)
    for account in ZONES:
        close(engine, "2025-02", account)
    record_and_post(engine, *bodies[200:], now=NOW)
    reprice(engine, book=with_other_rate(), read_book=read_edition, by="Ada", now=at(NOW))


def files(engine: Engine) -> list[str]:
    found = []
    for month in ("2025-02", "2025-03", "2025-04"):
        scope = Scope.checked(month=month)
        found += [as_csv(engine, export, scope) for export in EXPORTS]
        out = io.StringIO()
        with reading(engine) as connection:
            write_beancount(connection, scope, out)
        found.append(out.getvalue())
    return found


def test_both_databases_write_the_same_bytes(sqlite_url: str, postgres_url: str) -> None:
    written = []
    for url in (sqlite_url, postgres_url):
        engine = open_engine(url)
        live(engine)
        written.append(files(engine))
        engine.dispose()
    assert written[0] == written[1]
    rows = [*csv.DictReader(io.StringIO(written[0][0], newline=""))]
    assert [*dict.fromkeys(row["BillingAccountId"] for row in rows)] == sorted(ZONES, key=str.encode)
    assert len({row["SubAccountId"] for row in rows}) == len(NAMES) - 1, "an empty project is none"


def test_sums_past_64_bits_keep_their_last_digit(engine: Engine) -> None:
    for number in range(3):
        top_up(engine, format_amount(MAX_AMOUNT), "2025-03-01T00:00:00Z", reference=f"r{number}")
    calls = [an_event(f"c{n:02}", f"2025-03-03T12:{n:02}:00Z", output=10**12, hit=1) for n in range(20)]
    record_and_post(engine, *calls)

    scope = Scope.checked(month="2025-03")
    hits, output = exported(engine, focus_export(), scope)
    assert output["ListCost"] == 20 * 1_100_000 * UNITS > 2**63
    assert output["PricingQuantity"] * output["ListUnitPrice"] * UNITS == output["ListCost"]
    assert hits["EffectiveCost"] == 20 * 70_000
    bought = [row for row in exported(engine, focus_export(mode=Mode.PREPAID), scope) if row["x_Credit"]]
    assert [row["BilledCost"] for row in bought] == [MAX_AMOUNT] * 3
    (usage,) = (row for row in exported(engine, JOURNAL, scope) if row["journal_account"] == "usage_cost")
    assert usage["debit"] == 20 * (usd("1100000.00") + 70_000)
