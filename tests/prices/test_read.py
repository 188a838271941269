"""A price book is read whole or not at all: each malformed file is refused naming table, key and value."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from costmeter.core.errors import InputError, PriceBookError
from costmeter.core.periods import Period, format_instant, parse_instant
from costmeter.core.price_book import TOKEN_METERS, PriceBook
from costmeter.prices.read import builtin_book, builtin_text, load_book, read_book, read_edition
from tests.books import HEAD, METERS, a_book, a_limit, a_name, a_tariff

BOOK = builtin_book()


# ------------------------------------------------------------------------------------------------ the built-in book


def test_the_built_in_book_has_every_model_name_and_meter() -> None:
    assert {tariff.model for tariff in BOOK.tariffs} == {
        "deepseek-v2", "deepseek-v3", "deepseek-r1", "deepseek-v3.1", "deepseek-v3.2", "deepseek-v4-flash",
        "deepseek-v4-pro", "deepseek-flash", "deepseek-search", "deepseek-ocr",
    }  # fmt: skip
    assert set(BOOK.names) == {
        "deepseek-chat", "deepseek-reasoner", "deepseek-coder", "deepseek-v4-flash", "deepseek-v4-flash-vision-exp",
        "deepseek-flash", "deepseek-v4-pro", "deepseek-search", "deepseek-ocr",
    }  # fmt: skip
    assert {name: (meter.unit, meter.per) for name, meter in BOOK.meters.items()} == dict.fromkeys(
        TOKEN_METERS, ("tokens", 1_000_000)
    ) | {"search": ("requests", 1_000), "fetch": ("requests", 1_000), "ocr": ("pages", 1_000)}


def test_every_tariff_and_name_says_where_it_comes_from() -> None:
    for tariff in BOOK.tariffs:
        assert tariff.source
        assert tariff.confidence in "ABCX"
        assert tariff.checked.year == 2026
        assert all(rates.source and rates.confidence in "ABCX" for rates in tariff.rates.values())
    assert all(name.source for name in BOOK.names.values())


def test_every_model_that_is_billed_by_tokens_today_says_how_long_its_answers_can_be() -> None:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    in_use = {tariff.model for tariff in BOOK.tariffs if at in tariff.period and tariff.rates.get("USD")}
    limited = {limit.model for limit in BOOK.limits if at in limit.period}
    assert in_use - limited == {"deepseek-search"}
    assert all(limit.source and limit.confidence in "ABCX" for limit in BOOK.limits)


def test_an_open_limit_ends_where_the_next_of_its_model_begins() -> None:
    later = a_limit(start="2026-01-01T00:00:00Z", output=9)
    book = a_book(a_tariff(), a_name(), a_limit(output=5), later)
    assert [(limit.tokens, limit.period.end) for limit in book.limits] == [
        (5, datetime(2026, 1, 1, tzinfo=UTC)),
        (9, None),
    ]
    extended = read_book([builtin_text(), HEAD + a_limit("deepseek-flash", start="2027-01-01T00:00:00Z", output=7)])
    assert [limit.tokens for limit in extended.limits if limit.model == "deepseek-flash"] == [393_216, 7]


def test_tariffs_of_one_model_do_not_overlap() -> None:
    for tariff in BOOK.tariffs:
        for other in BOOK.tariffs:
            if other is not tariff and other.model == tariff.model and other.period.start is not None:
                assert other.period.start not in tariff.period, (tariff.tariff_id, other.tariff_id)


def models_of(name: str) -> list[tuple[str, str | None, str | None]]:
    def shown(instant: datetime | None) -> str | None:
        return None if instant is None else format_instant(instant)

    return [(span.model, shown(span.period.start), shown(span.period.end)) for span in BOOK.names[name].spans]


def test_deepseek_chat_is_one_model_after_the_other_and_then_nothing() -> None:
    assert models_of("deepseek-chat") == [
        ("deepseek-v2", None, "2024-12-26T00:00:00Z"),
        ("deepseek-v3", "2024-12-26T00:00:00Z", "2025-09-05T16:00:00Z"),
        ("deepseek-v3.1", "2025-09-05T16:00:00Z", "2025-09-29T00:00:00Z"),
        ("deepseek-v3.2", "2025-09-29T00:00:00Z", "2026-04-24T00:00:00Z"),
        ("deepseek-v4-flash", "2026-04-24T00:00:00Z", "2026-07-24T15:59:00Z"),
    ]


@pytest.mark.parametrize(
    ("name", "instant", "tariff_id"),
    [
        ("deepseek-chat", "2023-01-01T00:00:00Z", "deepseek-v2"),
        ("deepseek-chat", "2024-08-02T00:00:00Z", "deepseek-v2/2024-08-02"),
        ("deepseek-chat", "2024-12-25T23:59:59.999999Z", "deepseek-v2/2024-08-02"),
        ("deepseek-chat", "2024-12-26T00:00:00Z", "deepseek-v3/2024-12-26"),
        ("deepseek-chat", "2025-02-08T16:00:00Z", "deepseek-v3/2025-02-08"),
        ("deepseek-chat", "2025-02-26T16:30:00Z", "deepseek-v3/2025-02-26"),
        ("deepseek-chat", "2025-09-05T16:00:00Z", "deepseek-v3.1/2025-09-05"),
        ("deepseek-chat", "2025-09-29T00:00:00Z", "deepseek-v3.2/2025-09-29"),
        ("deepseek-chat", "2026-04-24T00:00:00Z", "deepseek-v4-flash/2026-04-24"),
        ("deepseek-chat", "2026-04-26T12:15:00Z", "deepseek-v4-flash/2026-04-26"),
        ("deepseek-chat", "2026-07-24T15:58:59.999999Z", "deepseek-v4-flash/2026-04-26"),
        ("deepseek-chat", "2026-07-24T15:59:00Z", None),
        ("deepseek-chat", "2035-01-01T00:00:00Z", None),
        ("deepseek-reasoner", "2025-01-19T23:59:59.999999Z", None),
        ("deepseek-reasoner", "2025-01-20T00:00:00Z", "deepseek-r1/2025-01-20"),
        ("deepseek-reasoner", "2026-04-24T00:00:00Z", "deepseek-v4-flash/2026-04-24"),  # not v4-pro
        ("deepseek-reasoner", "2026-07-24T15:59:00Z", None),
        ("deepseek-coder", "2025-02-08T15:59:59.999999Z", "deepseek-v2/2024-08-02"),
        ("deepseek-coder", "2025-02-08T16:00:00Z", None),
        ("deepseek-v4-flash", "2026-04-23T23:59:59.999999Z", None),
        ("deepseek-v4-flash", "2026-08-22T16:00:00Z", "deepseek-v4-flash/2026-08-22"),
        ("deepseek-v4-flash", "2026-09-10T03:59:59.999999Z", "deepseek-v4-flash/2026-08-22"),
        ("deepseek-v4-flash", "2026-09-10T04:00:00Z", "deepseek-flash/2026-09-10"),
        ("deepseek-v4-flash", "2035-01-01T00:00:00Z", "deepseek-flash/2026-09-10"),
        ("deepseek-v4-flash-vision-exp", "2026-09-10T04:00:00Z", "deepseek-flash/2026-09-10"),
        ("deepseek-flash", "2026-09-10T03:59:59.999999Z", None),
        ("deepseek-v4-pro", "2026-09-14T04:00:00Z", "deepseek-v4-pro/2026-08-22"),  # the reroute did not happen
    ],
)  # fmt: skip
def test_an_alias_means_what_it_meant_at_the_time(name: str, instant: str, tariff_id: str | None) -> None:
    for currency in ("USD", "CNY"):
        step = BOOK.step_at(name, currency, parse_instant(instant))
        assert (step.tariff.tariff_id if step else None) == tariff_id


# ------------------------------------------------------------------------------------------- editions and more files


def test_an_edition_is_named_by_its_text_and_reads_back_as_the_same_book() -> None:
    again = read_edition(BOOK.text)

    assert again.edition == BOOK.edition == builtin_book().edition
    assert (again.tariffs, again.names, again.meters, again.horizon) == (
        BOOK.tariffs, BOOK.names, BOOK.meters, BOOK.horizon,
    )  # fmt: skip
    assert re.fullmatch(r"[0-9a-f]{64}", BOOK.edition)
    assert read_book([builtin_text(), HEAD]).edition != BOOK.edition


FIRST = "\n".join((HEAD, METERS, a_tariff("demo/1"), a_name()))


def second(*parts: str) -> PriceBook:
    return read_book([FIRST, "\n".join((HEAD, *parts))])


def test_a_later_file_adds_a_tariff_that_ends_the_open_one() -> None:
    book = second(a_tariff("demo/2", start="2025-06-01T00:00:00+08:00"))

    turn = datetime(2025, 5, 31, 16, tzinfo=UTC)
    assert [(t.tariff_id, t.period) for t in book.tariffs] == [
        ("demo/1", Period(datetime(2025, 1, 1, tzinfo=UTC), turn)),
        ("demo/2", Period(turn, None)),
    ]


def test_a_later_file_continues_a_name_and_ends_its_open_span() -> None:
    book = second(
        a_tariff("next/1", model="next", start="2025-06-01T00:00:00Z"),
        a_name("demo", '{ model = "next", from = 2025-06-01T00:00:00Z }'),
    )
    turn = datetime(2025, 6, 1, tzinfo=UTC)
    assert book.names["demo"].spans == (("demo", Period(None, turn)), ("next", Period(turn, None)))


def test_a_later_file_adds_meters_and_calendars() -> None:
    calendar = (
        '[calendars.more]\nzone = "UTC"\npublished_from = 2025-01-01\npublished_to = 2030-01-01\n'
        'days_off = ["2029-12-24/2029-12-26"]\nsource = "made up"\n'
    )
    book = second('[meters.speech]\nunit = "characters"\nper = 10_000\n', calendar)

    assert book.meters["speech"] == ("speech", "characters", 10_000)
    assert len(book.calendars["more"].days_off) == 3
    assert book.horizon == datetime(2032, 1, 1, tzinfo=UTC)


def test_a_file_beside_the_built_in_book_is_loaded_and_one_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    extra = tmp_path / "more.toml"
    extra.write_text("\n".join((HEAD, a_tariff("demo/1"), a_name())), encoding="utf-8")
    assert "demo" in load_book(extra).names
    assert load_book(None) is BOOK

    extra.write_bytes(b"\xff\xfe")
    for path in (extra, tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(InputError, match=r"^COSTMETER_PRICE_BOOK .*: cannot be read: "):
            load_book(path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([METERS], "meters 'input.cache_hit': stands twice; a later file may add but not replace"),
        ([a_tariff("demo/1", start="2025-06-01T00:00:00Z")], "tariffs.id 'demo/1': stands twice; ids are unique"),
        ([a_tariff("demo/2")], "overlaps demo/1"),
        ([a_name("demo", '{ model = "demo", from = 2024-01-01T00:00:00Z, to = 2024-02-01T00:00:00Z }'),
          a_name("demo", '{ model = "demo", from = 2024-01-01T00:00:00Z }')],
         "names.demo.spans 'demo': spans stand in order and do not overlap"),
        ([a_name("demo", '{ model = "demo" }')], "names.demo.spans 'demo': spans stand in order and do not overlap"),
    ],
)  # fmt: skip
def test_a_later_file_may_add_but_not_replace(parts: list[str], message: str) -> None:
    with pytest.raises(PriceBookError) as refusal:
        second(*parts)

    assert str(refusal.value).endswith(message)


def test_a_later_file_cannot_continue_a_name_from_before_its_last_span() -> None:
    spans = '{ model = "demo", to = 2025-06-01T00:00:00Z }, { model = "demo", from = 2025-06-01T00:00:00Z }'
    first = "\n".join((HEAD, METERS, a_tariff(), a_name("demo", spans)))
    with pytest.raises(PriceBookError, match=r"^names.demo.spans 'demo': spans stand in order and do not overlap$"):
        read_book([first, HEAD + a_name("demo", '{ model = "demo", from = 2025-03-01T00:00:00Z }')])
