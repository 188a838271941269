"""The charges export from its rows: chunks, exact cells, and what stays open when nothing is written."""

from __future__ import annotations

import csv
import io

import pytest
from sqlalchemy import Engine

from costmeter.core.errors import InputError
from costmeter.exports.charges import CHARGES
from costmeter.exports.content import Content
from costmeter.exports.format import Format, parts
from costmeter.store import texts
from costmeter.store.engine import reading
from costmeter.store.scope import Scope
from tests.make import an_event, at, grant, record_and_post, set_up_account, top_up
from tests.services.invariants import close

MARCH = Scope.checked(month="2025-03")


def exported(engine: Engine, scope: Scope = MARCH) -> list[dict[str, str]]:
    """The rows by column, through the file and back."""
    with reading(engine) as connection:
        content = Content(connection, CHARGES, scope)
        text = b"".join(parts(content, Format.CSV)).decode()
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert content.rows == len(found)
    return found


def test_every_row_comes_whatever_the_size_of_a_chunk(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "ROWS", 3)
    record_and_post(engine, *(an_event(f"call-{number}", f"2025-03-03T12:00:{number:02}Z") for number in range(10)))

    assert [row["event_id"] for row in exported(engine)] == [f"call-{number}" for number in range(10)]


def test_a_row_says_what_is_in_doubt_about_its_price(engine: Engine) -> None:
    edge, now = "2025-03-31T16:30:00Z", "2025-04-02T00:00:00Z"
    record_and_post(engine, an_event("a", edge, detail={"clock_offset_seconds": 1.5}), an_event("b", edge), now=now)
    record_and_post(engine, an_event("c", edge, model="x", detail={"clock_offset_seconds": 86_400}), now=now)

    flags = {row["event_id"]: row["flags"] for row in exported(engine)}
    assert flags == {"a": "clock_near_band", "b": "", "c": "clock_near_month"}


def test_nothing_charged_is_a_heading_alone(engine: Engine) -> None:
    assert exported(engine) == []
    with reading(engine) as connection:
        written = b"".join(parts(Content(connection, CHARGES, MARCH), Format.CSV))
    assert written.decode() == ",".join(column.name for column in CHARGES.columns) + "\r\n"


def test_a_scope_that_cannot_be_is_refused_before_anything_is_written(engine: Engine) -> None:
    set_up_account(engine, "usd")
    set_up_account(engine, "cny", "CNY")
    with reading(engine) as connection:
        with pytest.raises(InputError, match="never summed"):
            Content(connection, CHARGES, MARCH)
        with pytest.raises(InputError, match="never summed"):
            CHARGES.rows(connection, MARCH)


def test_the_smallest_and_the_greatest_amount_keep_every_digit(engine: Engine) -> None:
    grant(engine, "0.000000000001", "2025-03-01T00:00:00Z")
    record_and_post(engine, an_event("small", hit=0, miss=0, output=1), an_event("none", hit=0, miss=0, output=0))
    record_and_post(engine, an_event("great", "2025-03-03T13:00:00Z", output=10**12))

    small, great, none = sorted(exported(engine), key=lambda row: ("small", "great", "none").index(row["event_id"]))
    assert [small[name] for name in ("cost", "granted", "overdraft")] == [
        "0.0000011",
        "0.000000000001",
        "0.000001099999",
    ]
    assert (none["cost"], none["status"]) == ("0.00", "priced"), "a measured call of no tokens is free"
    assert (great["cost"], great["output_tokens"]) == ("1100000.00", "1000000000000")


def test_text_survives_commas_quotes_and_line_breaks(engine: Engine) -> None:
    odd = 'a,"b"\r\nc;ü中🚲'
    record_and_post(engine, an_event(project=odd, user=" ", api_key="'"))

    (row,) = exported(engine)
    assert (row["project"], row["user"], row["api_key"]) == (odd, " ", "'")


def test_a_billing_month_is_that_of_the_accounts_zone(engine: Engine) -> None:
    set_up_account(engine, "shanghai", timezone="Asia/Shanghai")
    late = "2025-03-31T16:00:00Z"  # midnight in Shanghai
    bodies = [an_event(f"in-{account}", late, account=account) for account in ("default", "shanghai")]
    record_and_post(engine, *bodies, now="2025-04-02T00:00:00Z")

    assert [row["event_id"] for row in exported(engine)] == ["in-default"]
    assert [row["event_id"] for row in exported(engine, Scope.checked(month="2025-04"))] == ["in-shanghai"]
    both = Scope.checked(start=at(late), end=at("2025-03-31T16:00:01Z"))
    assert [row["completed_at"] for row in exported(engine, both)] == [late, late]


def test_a_charge_that_was_made_again_is_one_row_net_of_its_reversal(engine: Engine) -> None:
    top_up(engine, "5.00", "2025-03-01T00:00:00Z")
    record_and_post(engine, an_event(hit=3, miss=4))
    grant(engine, "1.00", "2025-03-02T00:00:00Z")

    (row,) = exported(engine)
    assert [row[name] for name in ("cost", "granted", "topped_up")] == ["1.10000129", "1.00", "0.10000129"]
    assert [row[name] for name in ("cache_hit_tokens", "cache_miss_tokens", "output_tokens")] == ["3", "4", "1000000"]


def test_an_adjustment_moves_money_and_counts_no_tokens_again(engine: Engine) -> None:
    top_up(engine, "5.00", "2025-02-01T00:00:00Z")
    record_and_post(engine, an_event("late", "2025-02-03T12:00:00Z"))
    close(engine, "2025-02")
    before = exported(engine, Scope.checked(month="2025-02"))
    grant(engine, "1.00", "2025-02-02T00:00:00Z")  # a call was 0.28 then

    (row,) = exported(engine)
    assert (row["adjusts"], row["cost"], row["output_tokens"]) == ("2025-02", "0.00", "0")
    assert (row["granted"], row["topped_up"]) == ("0.28", "-0.28"), "the grant pays in place of the top-up"
    assert exported(engine, Scope.checked(month="2025-02")) == before
