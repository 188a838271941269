"""A malformed price book is refused whole, and the refusal names table, key and value."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from costmeter.core.errors import PriceBookError
from costmeter.core.periods import parse_instant
from costmeter.prices.read import read_book
from tests.books import CALENDAR, HEAD, METERS, a_book, a_limit, a_name, a_tariff

WHOLE = "\n".join(
    (
        HEAD,
        METERS,
        CALENDAR,
        a_tariff(
            band="day",
            windows=['{ band = "night", start = "22:00", end = "06:00", zone = "UTC", days = ["mon"] }'],
            bands={"day": {"output": "3"}, "night": {"output": "2"}},
        ),
        a_name(),
        a_limit(),
    )
)
RATE = "tariffs.demo/1.USD.day.output"
OUTPUT = 'day = { "output" = "3" }'
RATES = f'[tariffs.USD]\n{OUTPUT}\nnight = {{ "output" = "2" }}'
WINDOW = 'start = "22:00", end = "06:00", zone = "UTC", days = ["mon"]'
SPANS = '{ model = "demo" }'
LATE, EARLY = (
    f'{{ model = "demo", from = {year}-01-01T00:00:00Z, to = {year + 1}-01-01T00:00:00Z }}' for year in (2026, 2025)
)
ORDER = "names.demo.spans 'demo': spans stand in order and do not overlap"
NO_ZONE = "is no IANA time zone; use one such as UTC or Asia/Shanghai"
NO_RANGE = "write first/last day as 2026-10-01/2026-10-07"
NO_BAND = "write a band in lower case, such as off_peak"
NO_KEY = "is neither a known key nor a currency (USD, CNY)"
NO_METER = "is no meter of the book (input.cache_hit, input.cache_miss, output, search)"
NO_CLOCK = "time data '24:00' does not match format '%H:%M'"
NO_DECIMAL = 'write a decimal string without exponent, such as "5.00"'
TOO_FINE = "not a whole number of 10^-12 for one unit (printed per 1000000)"
WINDOW_AT = "tariffs.demo/1.windows[1]"
BOTH_BANDS = "{'day': {'output': '3'}, 'night': {'output': '2'}}"
SEARCH = 'unit = "requests"\nper = 1_000'
UNLIKE = "must have rates and a window (or be the tariff's band)"

MALFORMED = {
    # what is wrong: (what stands there, what is put in its place, the message)
    "a format of the future": ("format = 1", "format = 2", "format 2: this version reads format 1"),
    "a format that is no number": ("format = 1", 'format = "1"', "format '1': must be a int"),
    "a format that is a boolean": ("format = 1", "format = true", "format True: must be a int"),
    "no format": ("format = 1", "", "format: is missing"),
    "another provider": ('provider = "deepseek"', 'provider = "x"', "provider 'x': use one of deepseek"),
    "no date": ("checked = 2025-01-01", "", "checked: is missing"),
    "a date that is an instant": (
        "checked = 2025-01-01",
        "checked = 2025-01-01T00:00:00Z",
        "checked datetime.datetime(2025, 1, 1, 0, 0, tzinfo=datetime.timezone.utc): must be a date",
    ),
    "an unknown key at the top": ("format = 1", "format = 1\ncolour = 7", "colour 7: is an unknown key"),
    "a limit of nothing": ("output = 100", "output = 0", "limits[1].output 0: must be 1 token or more"),
    "a limit that is no number": ("output = 100", 'output = "1"', "limits[1].output '1': must be a int"),
    "an unknown key in a limit": ("output = 100", "output = 100\ncolour = 7", "limits[1].colour 7: is an unknown key"),
    "a limit of no model": (
        'model = "demo"\noutput = 100',
        'model = "other"\noutput = 100',
        "limits.model 'other': has no tariff",
    ),
    "two limits at once": (
        "[[limits]]",
        f"{a_limit()}\n[[limits]]",
        "limits.from: overlaps another limit of demo",
    ),
    "an unknown key in a meter": (
        "[[names]]",
        "[meters.cat]\nunit = 'tokens'\nper = 1\nfur = 1\n[[names]]",
        "meters.cat.fur 1: is an unknown key",
    ),
    "a meter per nothing": (SEARCH, 'unit = "requests"\nper = 0', "meters.search.per 0: must be 1 or more"),
    "a meter per a fraction": (SEARCH, 'unit = "requests"\nper = 0.5', "meters.search.per 0.5: must be a int"),
    "a meter without unit": (SEARCH, 'unit = " "\nper = 1_000', "meters.search.unit ' ': is empty"),
    "a calendar of no zone": (
        'zone = "Europe/Berlin"\npublished',
        'zone = "Mars/Phobos"\npublished',
        f"calendars.holidays.zone 'Mars/Phobos': {NO_ZONE}",
    ),
    "a day off that is no range": (
        '"2025-05-01/2025-05-01"',
        '"2025-05-01"',
        f"calendars.holidays.days_off '2025-05-01': {NO_RANGE}",
    ),
    "a day off that is no date": (
        '"2025-05-01/2025-05-01"',
        '"2025-05-01/2025-05-32"',
        f"calendars.holidays.days_off '2025-05-01/2025-05-32': {NO_RANGE}",
    ),
    "days off the wrong way round": (
        '"2025-05-01/2025-05-01"',
        '"2025-05-02/2025-05-01"',
        "calendars.holidays.days_off '2025-05-02/2025-05-01': ends before it begins",
    ),
    "a calendar that ends before it begins": (
        "published_to = 2026-01-01",
        "published_to = 2025-01-01",
        "calendars.holidays.published_to '2025-01-01': must be after published_from",
    ),
    "a calendar without source": (
        'source = "made up"\n\n[[tariffs]]',
        "\n[[tariffs]]",
        "calendars.holidays.source: is missing",
    ),
    "a tariff without id": ('id = "demo/1"', "", "tariffs[1].id: is missing"),
    "a tariff with an empty id": ('id = "demo/1"', 'id = ""', "tariffs[1].id '': is empty"),
    "a tariff without model": ('\nmodel = "demo"', "", "tariffs.demo/1.model: is missing"),
    "a model that is no text": ('\nmodel = "demo"', "\nmodel = 7", "tariffs.demo/1.model 7: must be a str"),
    "an unknown basis": (
        'basis = "completion"',
        'basis = "payment"',
        "tariffs.demo/1.basis 'payment': use one of completion, start",
    ),
    "a naive instant": (
        "from = 2025-01-01T00:00:00Z",
        "from = 2025-01-01T00:00:00",
        "tariffs.demo/1.from '2025-01-01T00:00:00': has no time zone; add Z",
    ),
    "a day instead of an instant": (
        "from = 2025-01-01T00:00:00Z",
        "from = 2025-01-01",
        "tariffs.demo/1.from datetime.date(2025, 1, 1): must be a datetime",
    ),
    "a tariff that ends where it begins": (
        "from = 2025-01-01T00:00:00Z",
        "from = 2025-01-01T00:00:00Z\nto = 2025-01-01T08:00:00+08:00",
        "tariffs.demo/1.to '2025-01-01T00:00:00+00:00': must be after from",
    ),
    "windows without a start": (
        "from = 2025-01-01T00:00:00Z",
        "",
        "tariffs.demo/1.windows 1: a tariff with windows needs a from",
    ),
    "an unknown confidence": (
        'confidence = "A"',
        'confidence = "Z"',
        "tariffs.demo/1.confidence 'Z': use one of A, B, C, X",
    ),
    "a tariff without source": (
        'source = "made up"\nchecked = 2025-01-01\nconfidence',
        "checked = 2025-01-01\nconfidence",
        "tariffs.demo/1.source: is missing",
    ),
    "an unknown key in a tariff": (
        'confidence = "A"',
        'confidence = "A"\ncolour = 7',
        f"tariffs.demo/1.colour 7: {NO_KEY}",
    ),
    "an unknown currency": ("[tariffs.USD]", "[tariffs.EUR]", f"tariffs.demo/1.EUR {BOTH_BANDS}: {NO_KEY}"),
    "a tariff without rates": (
        RATES,
        "",
        "tariffs.demo/1.USD: is missing: a tariff has rates in at least one currency",
    ),
    "a band that is no name": ('band = "day"', 'band = "By Day"', f"tariffs.demo/1.band 'By Day': {NO_BAND}"),
    "a window's band that is no name": ('band = "night", ', 'band = "Night", ', f"{WINDOW_AT}.band 'Night': {NO_BAND}"),
    "a window without rates": ('night = { "output" = "2" }', "", f"tariffs.demo/1.USD.night 'night': {UNLIKE}"),
    "a band of the tariff without rates": (OUTPUT, "", f"tariffs.demo/1.USD.day 'day': {UNLIKE}"),
    "rates without a window": (
        OUTPUT,
        f'{OUTPUT}\ndusk = {{ "output" = "2" }}',
        f"tariffs.demo/1.USD.dusk 'dusk': {UNLIKE}",
    ),
    "a band without a rate": (OUTPUT, "day = {}", "tariffs.demo/1.USD.day {}: must list a rate for at least one meter"),
    "a band that is a rate": (
        OUTPUT,
        'day = "3"',
        "tariffs.demo/1.USD.day '3': must list a rate for at least one meter",
    ),
    "an unknown meter": (OUTPUT, 'day = { "tea" = "3" }', f"tariffs.demo/1.USD.day.tea 'tea': {NO_METER}"),
    "a rate that is a float": (OUTPUT, 'day = { "output" = 3.0 }', f"{RATE} 3.0: {NO_DECIMAL}"),
    "a rate that is no decimal": (OUTPUT, 'day = { "output" = "3e0" }', f"{RATE} '3e0': {NO_DECIMAL}"),
    "a rate too fine": (OUTPUT, 'day = { "output" = "0.0000001" }', f"{RATE} '0.0000001': {TOO_FINE}"),
    "a negative rate": (
        OUTPUT,
        'day = { "output" = "-3" }',
        f"{RATE} '-3': a rate is neither negative nor above 64 bits",
    ),
    "a window that is no table": ("windows = [{", "windows = [7, {", f"{WINDOW_AT} 7: must be a table"),
    "a window of no zone": (WINDOW, WINDOW.replace("UTC", "Beijing"), f"{WINDOW_AT}.zone 'Beijing': {NO_ZONE}"),
    "a window that ends where it begins": (
        WINDOW,
        WINDOW.replace("06:00", "22:00"),
        f"{WINDOW_AT}.end '22:00:00': must differ from start",
    ),
    "a window at no time": (WINDOW, WINDOW.replace("06:00", "24:00"), f"{WINDOW_AT}.end '24:00': {NO_CLOCK}"),
    "a window without start": (WINDOW, WINDOW.replace('start = "22:00", ', ""), f"{WINDOW_AT}.start: is missing"),
    "a window on no weekday": (
        WINDOW,
        WINDOW.replace("mon", "monday"),
        f"{WINDOW_AT}.days 'monday': use mon, tue, wed, thu, fri, sat, sun",
    ),
    "a window of an unknown calendar": (
        WINDOW,
        f'{WINDOW}, holidays = "mars"',
        f"{WINDOW_AT}.holidays 'mars': is no calendar of the book",
    ),
    "an unknown key in a window": (WINDOW, f"{WINDOW}, tide = 7", f"{WINDOW_AT}.tide 7: is an unknown key"),
    "a name without spans": (SPANS, "", "names[1].spans 'demo': must have at least one span"),
    "a name of no model": (SPANS, '{ model = "demon" }', "names.demo.spans.model 'demon': has no tariff"),
    "a name without a name": ('name = "demo"', "", "names[1].name: is missing"),
    "spans out of order": (SPANS, f"{LATE}, {EARLY}", ORDER),
    "spans that overlap": (SPANS, f"{EARLY}, {LATE.replace('2026', '2025')}", ORDER),
    "a span after an open one": (SPANS, f"{SPANS}, {LATE}", ORDER),
    "a span that ends before it begins": (
        SPANS,
        '{ model = "demo", from = 2026-01-01T00:00:00Z, to = 2025-01-01T00:00:00Z }',
        "names[1].spans[1].to '2025-01-01T00:00:00+00:00': must be after from",
    ),
    "an unknown key in a name": (
        f"spans = [{SPANS}]",
        f"spans = [{SPANS}]\ncolour = 7",
        "names[1].colour 7: is an unknown key",
    ),
    "no TOML": ("format = 1", "format == 1", None),
}


def test_the_book_that_the_malformed_ones_are_made_of_is_read() -> None:
    assert read_book([WHOLE]).step_at("demo", "USD", datetime(2025, 3, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize("wrong", MALFORMED)
def test_a_malformed_book_is_refused_by_table_key_and_value(wrong: str) -> None:
    stands, instead, message = MALFORMED[wrong]
    assert WHOLE.count(stands) >= 1

    with pytest.raises(PriceBookError) as refusal:
        read_book([WHOLE.replace(stands, instead, 1)])

    if message is not None:
        assert str(refusal.value) == message
    else:
        assert str(refusal.value).startswith("price book ")
        assert ": is no TOML: " in str(refusal.value)


@pytest.mark.parametrize("content", ["7", '"text"', "[1]"])
@pytest.mark.parametrize("key", ["tariffs", "names", "meters", "calendars"])
def test_a_part_of_another_type_is_refused_by_name(key: str, content: str) -> None:
    with pytest.raises(PriceBookError, match=rf"^{key}.* must be a (list|dict|table)$"):
        read_book([f"{HEAD}\n{key} = {content}\n"])


def test_a_text_that_is_no_toml_at_all_is_refused() -> None:
    with pytest.raises(PriceBookError, match=r"^price book 'Dear Sir,': is no TOML: "):
        read_book(["Dear Sir,"])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ((None, None), (None, None), "tariffs.demo/2.from: overlaps demo/1"),
        (("2025-01-01T00:00:00Z", None), ("2025-01-01T00:00:00Z", None), "overlaps demo/1"),
        (("2025-01-01T00:00:00Z", "2025-03-01T00:00:00Z"), ("2025-02-28T23:59:59Z", None), "overlaps demo/1"),
        ((None, "2025-03-01T00:00:00Z"), ("2025-02-28T23:59:59Z", "2025-03-01T00:00:00Z"), "overlaps demo/1"),
    ],
)
def test_tariffs_of_one_model_that_overlap_are_refused(
    first: tuple[str | None, str | None], second: tuple[str | None, str | None], message: str
) -> None:
    tariffs = [a_tariff(f"demo/{n}", start=s, end=e) for n, (s, e) in enumerate((first, second), start=1)]
    with pytest.raises(PriceBookError) as refusal:
        a_book(*tariffs, a_name())

    assert str(refusal.value).startswith("tariffs.demo/2.from")
    assert str(refusal.value).endswith(message)


def test_ids_are_unique_across_models() -> None:
    with pytest.raises(PriceBookError, match=r"^tariffs.id 'demo/1': stands twice; ids are unique$"):
        a_book(a_tariff("demo/1"), a_tariff("demo/1", model="other"), a_name())


def test_tariffs_that_touch_do_not_overlap() -> None:
    turn = "2025-03-01T00:00:00Z"
    book = a_book(a_tariff("demo/1", end=turn), a_tariff("demo/2", start=turn), a_name())
    assert [tariff.period.start for tariff in book.tariffs][1] == book.tariffs[0].period.end == parse_instant(turn)
