"""Numbers and instants as pages write them: no digit is lost on the way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from costmeter.core.money import format_amount
from costmeter.web.texts import THIN, amount, clock, count, instant, lasted, size, sources, until
from tests.make import at
from tests.web.reading import plain


def text(markup: str) -> str:
    return plain(re.sub("<[^>]*>", "", markup))


@given(st.integers(-(10**30), 10**30))
def test_an_amount_has_all_its_digits(units: int) -> None:
    assert text(amount(format_amount(units))) == format_amount(units)


@given(st.integers(-(10**20), 10**20))
def test_a_count_has_all_its_digits(number: int) -> None:
    assert plain(count(number)) == str(number)
    assert all(len(part.lstrip("\u2212")) == 3 for part in count(number).split(THIN)[1:])


def test_what_is_beyond_cents_stands_apart() -> None:
    assert amount("1234567.123") == (f'<span class="amount">1{THIN}234{THIN}567.12<span class="rest">3</span></span>')
    assert text(amount(None)) == "\u2013"


@pytest.mark.parametrize(
    ("at_utc", "left"),
    [
        ("09:20:01", "1 min"),
        ("09:21:00", "1 min"),
        ("10:00:00", "40 min"),
        ("11:00:30", "1 h 41 min"),
        ("23:20:00", "14 h 0 min"),
    ],
)
def test_the_time_that_is_left(at_utc: str, left: str) -> None:
    assert until(f"2026-11-18T{at_utc}Z", at("2026-11-18T09:20:00Z")).replace("\u00a0", " ") == left


def test_days_that_are_left() -> None:
    assert until("2026-11-21T01:00:00Z", at("2026-11-18T09:20:00Z")).replace("\u00a0", " ") == "2 d 15 h"


def test_instants_are_on_the_clock_of_the_zone_and_machines_read_utc() -> None:
    shown = instant("2026-11-18T16:30:00.250Z", "Asia/Shanghai")
    assert text(shown) == "2026-11-19 00:30:00.250"
    assert 'datetime="2026-11-18T16:30:00.250Z"' in shown
    assert text(clock("2026-11-18T16:30:00Z", "UTC", at("2026-11-18T09:20:00Z"))) == "16:30"
    assert text(clock("2026-11-18T16:30:00Z", "Asia/Shanghai", at("2026-11-18T09:20:00Z"))) == "2026-11-19 00:30"


@pytest.mark.parametrize(
    ("source", "addresses"),
    [
        ("api-docs.deepseek.com/quick_start/pricing (footnote 6)", ["api-docs.deepseek.com/quick_start/pricing"]),
        ("a.ai/blog; b.com/topic/54 (20:15)", ["a.ai/blog", "b.com/topic/54"]),
        ("a.ai/?p=1, quoting 3.2/4 and/or a.ai.", ["a.ai/?p=1"]),
        ("the price page of 2026, deepseek.com", []),
        ("javascript:alert(1)//a.com/x https://a.com/x", []),
        ('a.com/"onclick=1 <b>', ['a.com/"onclick=1']),
    ],
)
def test_addresses_of_a_source_are_links_that_tell_nothing(source: str, addresses: list[str]) -> None:
    made = sources(source)
    assert re.sub("<[^>]*>", "", made) == str(escape(source))
    links = [str(escape(f"https://{one}")) for one in addresses]
    assert re.findall('<a href="([^"]*)" rel="noreferrer noopener">', made) == links
    assert made.count("<") == 2 * len(links)


@pytest.mark.parametrize(
    ("end", "time"),
    [
        ("2026-11-18T09:20:00Z", "0 ms"),
        ("2026-11-18T09:20:00.031999Z", "31 ms"),
        ("2026-11-18T09:20:03.410Z", "3.41 s"),
        ("2026-11-18T09:20:30Z", "30 s"),
        ("2026-11-18T09:21:00Z", "1 min 0 s"),
        ("2026-11-18T10:20:59Z", "1 h 0 min"),
        ("2026-11-20T08:20:00Z", "1 d 23 h"),
        ("2026-11-18T09:19:59Z", "0 ms"),  # a clock that was put back
    ],
)
def test_how_long_something_took(end: str, time: str) -> None:
    for ended in (end, at(end)):
        assert lasted("2026-11-18T09:20:00Z", ended).replace("\u00a0", " ") == time


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (1_023, "1023 B"), (1_024, "1 KiB"), (5 << 20, "5 MiB"), (1 << 30, "1 GiB"), (3 << 50, "3072 TiB")],
)
def test_bytes_are_in_the_unit_that_suits_them(number: int, shown: str) -> None:
    assert text(size(number)) == shown
    assert f'value="{number}"' in size(number)
