"""What the console would export of the simulator's books: a ZIP of an amount file and a cost file, old or new.

DeepSeek does not document the format; the shapes are those that readers of it agree on. The old one has days of UTC,
the new one hours or days with an offset. Costs have 16 decimals, prices are of one token, and reasoning has no row.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone

from costmeter.simulator.bills import PaidBill
from costmeter.simulator.errors import BadInputError
from costmeter.simulator.money import UNIT
from costmeter.simulator.prices import find_tariff

OLD, NEW = FORMS = ("old", "new")
PAID, GRANTED = "Paid", "Granted"

_USER = "simulated-user"
_TIMES = {OLD: ("utc_date",), NEW: ("start_time_iso", "end_time_iso")}
_AMOUNT = ("model", "api_key_name", "api_key", "type", "price", "amount")
_COST = ("model", "wallet_type", "cost", "currency")


def export_zip(
    calls: Iterable[PaidBill], currency: str, *, form: str = NEW, hours: int = 24, offset_minutes: int = 0
) -> bytes:
    """The ZIP of these calls; `hours` (1 or 24) and the offset are those of the new form's intervals."""
    if form not in FORMS:
        raise BadInputError("form", form, f"choose {' or '.join(FORMS)}")
    if hours not in (1, 24):
        raise BadInputError("hours", hours, "choose 1 or 24")
    if abs(offset_minutes) > 14 * 60:
        raise BadInputError("offset_minutes", offset_minutes, "choose at most 840, either way")
    if form == OLD:
        hours, offset_minutes = 24, 0
    zone, length = timezone(timedelta(minutes=offset_minutes)), timedelta(hours=hours)
    amounts: Counter[tuple[str, ...]] = Counter()
    costs: Counter[tuple[str, ...]] = Counter()
    for call in calls:
        times = _interval(call.bill.completed_at.astimezone(zone), length, form)
        for meter, price, amount in _meters(call, currency):
            amounts[(*times, call.bill.model, _key_name(call), call.bill.api_key, meter, price)] += amount
        paid = call.split.topped_up + call.split.overdraft
        for wallet, cost in ((GRANTED, call.split.granted), (PAID, paid)):
            if cost:
                costs[(*times, call.bill.model, wallet)] += cost
    tables = {
        "amount": [(*_TIMES[form], *_AMOUNT), *((*row, str(amount)) for row, amount in sorted(amounts.items()))],
        "cost": [(*_TIMES[form], *_COST), *((*row, _sixteen(cost), currency) for row, cost in sorted(costs.items()))],
    }
    return _zipped(tables, _span([row[0] for row in tables["amount"][1:]], form))


def _interval(local: datetime, length: timedelta, form: str) -> tuple[str, ...]:
    start = local.replace(hour=0, minute=0, second=0, microsecond=0)
    start += (local - start) // length * length
    if form == OLD:
        return (start.astimezone(UTC).strftime("%Y%m%d"),)
    return start.isoformat(), (start + length).isoformat()


def _meters(call: PaidBill, currency: str) -> Iterator[tuple[str, str, int]]:
    """What the call used: type, price of one token, amount."""
    bill = call.bill
    tariff = find_tariff(bill.model, bill.completed_at)
    assert tariff is not None, "a call is billed by a tariff"
    rates, usage = tariff.rates[currency][bill.band], bill.usage
    yield "input_cache_hit_tokens", _price(rates.cache_hit), usage.cache_hit
    yield "input_cache_miss_tokens", _price(rates.cache_miss), usage.cache_miss
    yield "output_tokens", _price(rates.output), usage.completion
    yield "request_count", "", 1


def _key_name(call: PaidBill) -> str:
    return f"Team, {call.bill.api_key[-4:]}"


def _price(units: int) -> str:
    """The price of one token, without zeros at its end."""
    return f"{units // UNIT}.{units % UNIT:012d}".rstrip("0").rstrip(".")


def _sixteen(units: int) -> str:
    return f"{units // UNIT}.{units % UNIT:012d}0000"


def _span(times: Sequence[str], form: str) -> str:
    """How the files are named: by the month, or by first and last day."""
    if form == OLD:
        return f"{times[0][:4]}-{int(times[0][4:6])}" if times else "0000-0"
    return f"{min(times)[:10]}_{max(times)[:10]}" if times else "empty"


def _zipped(tables: dict[str, list[tuple[str, ...]]], span: str) -> bytes:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, (header, *rows) in tables.items():
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\r\n")
            writer.writerow(("user_id", *header))
            writer.writerows((_USER, *row) for row in rows)
            archive.writestr(f"{kind}-{span}.csv", text.getvalue().encode("utf-8-sig"))
    return zipped.getvalue()
