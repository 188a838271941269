"""`costmeter prices`: the book with its sources and doubts, a book of one's own, and what its check says when."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costmeter.prices.check import problems
from tests.cli.running import Run, words
from tests.make import at, book

CALENDAR_ENDS = datetime(2026, 12, 31, 16, tzinfo=UTC)  # midnight in Shanghai: the first day that is not published
OWN = """
format = 1
provider = "deepseek"
checked = 2026-11-01

[[tariffs]]
id = "own/1"
model = "own"
from = 2026-11-01T00:00:00Z
basis = "completion"
source = "our contract"
checked = 2026-11-01
confidence = "A"
[tariffs.USD]
flat = { "input.cache_hit" = "1", "input.cache_miss" = "2", output = "3" }

[[names]]
name = "own"
spans = [{ model = "own" }]
source = "our contract"
"""
OVERLAP = OWN + OWN[OWN.index("[[tariffs]]") : OWN.index("[[names]]")].replace("own/1", "own/2")
SAYS_OVERLAP = re.compile(r"tariffs\.own/2\.from .*: overlaps own/1")


@pytest.fixture
def own_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that COSTMETER_PRICE_BOOK names, to be written by the test."""
    path = tmp_path / "own.toml"
    monkeypatch.setenv("COSTMETER_PRICE_BOOK", str(path))
    return path


def test_the_list_says_what_each_model_costs_at_an_instant(run: Run) -> None:
    listed = run("prices", "list", "--at", "2025-03-01T16:30:00Z", "--json").json

    assert tuple(listed) == ("at", "edition", "prices")
    assert (listed["at"], listed["edition"]) == ("2025-03-01T16:30:00Z", book().edition)
    assert {tuple(price) for price in listed["prices"]} == {
        ("model", "tariff", "band", "provisional", "currency", "rates")
    }
    found = {(price["model"], price["currency"]): price for price in listed["prices"]}
    assert found.keys() == {(m, c) for m in ("deepseek-chat", "deepseek-reasoner") for c in ("USD", "CNY")}
    assert found["deepseek-reasoner", "USD"]["rates"]["output"] == {"rate": "0.550", "per": 1_000_000, "unit": "tokens"}


def test_the_list_for_people_has_a_line_a_rate(run: Run) -> None:
    lines = run("prices", "list", "--at", "2025-03-01T16:29:59Z").done.splitlines()

    assert lines[0] == f"prices at 2025-03-01T16:29:59Z, edition {book().edition[:12]}"
    assert [line.split() for line in lines if " output " in line and " USD " in line] == [
        [model, tariff, "standard", "USD", "output", rate, "1,000,000", "tokens"]
        for model, tariff, rate in (
            ("deepseek-chat", "deepseek-v3/2025-02-26", "1.10"),
            ("deepseek-reasoner", "deepseek-r1/2025-02-26", "2.19"),
        )
    ]


def test_without_an_instant_it_is_now(run: Run) -> None:
    before = datetime.now(UTC)
    listed = at(run("prices", "list", "--json").json["at"])
    assert before <= listed <= datetime.now(UTC)


def test_a_tariff_is_shown_with_windows_source_and_doubt(run: Run) -> None:
    shown = run("prices", "show", "deepseek-flash", "--at", "2026-10-26T02:00:00Z").done

    assert shown.startswith("deepseek-flash at 2026-10-26T02:00:00Z: tariff deepseek-flash/2026-09-10, band peak\n")
    holidays = "Asia/Shanghai, Mon, Tue, Wed, Thu, Fri except holidays of china"
    assert f"window    peak 09:00-12:00 {holidays}\n" in shown
    assert "output    at most 393,216 tokens: price page of September 2026" in shown
    for word in ("source", "checked 20", "confidence A", "doubt"):
        assert word in shown


def test_the_json_of_a_tariff_says_all_of_it(run: Run) -> None:
    shown = run("prices", "show", "deepseek-chat", "--at", "2025-03-01T16:30:00Z", "--json").json

    assert {"model", "tariff", "from", "to", "basis", "windows", "rates", "source", "checked", "confidence"} <= {*shown}
    assert shown["band_at"] == {"2025-03-01T16:30:00Z": "off_peak"}
    assert shown["rates"]["USD"]["bands"]["off_peak"]["input.cache_miss"] == "0.135"
    assert (shown["output_limit"]["tokens"], shown["output_limit"]["confidence"]) == (8_192, "A")


def test_the_history_has_every_tariff_a_name_was_billed_by(run: Run) -> None:
    parts = run("prices", "history", "deepseek-chat", "--json").json

    assert parts[0]["from"] is None
    assert [part["to"] for part in parts[:-1]] == [part["from"] for part in parts[1:]], "without a gap"
    assert parts[-1]["to"] == "2026-07-24T15:59:00Z"
    told = run("prices", "history", "deepseek-chat").done
    assert told.startswith("price history of deepseek-chat\n")
    assert told.splitlines()[-1].startswith("The name stopped at 2026-07-24 15:59 UTC")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("show no-such", "the price book has no model 'no-such'; it has deepseek-chat, "),
        ("history no-such", "the price book has no model 'no-such'; it has deepseek-chat, "),
        ("show deepseek-chat --at 2026-07-24T15:59:00Z", "no tariff for 'deepseek-chat' at 2026-07-24T15:59:00Z. The "),
        ("show deepseek-chat --at now", "at 'now': write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
        ("list --at 2025-03-01", "at '2025-03-01': write an RFC 3339 instant such as 2025-03-01T16:30:00Z"),
    ],
)
def test_what_is_not_in_the_book_is_refused(run: Run, arguments: str, says: str) -> None:
    assert run("prices", *arguments.split()).refused.startswith(says)


def test_the_check_warns_60_days_before_the_calendar_ends_and_not_earlier() -> None:
    notice = timedelta(days=60)
    assert problems(book(), CALENDAR_ENDS - notice - timedelta(days=1)) == []
    assert problems(book(), CALENDAR_ENDS - notice - timedelta(microseconds=1)) == []
    expected = ["calendar china ends on 2026-12-31; prices that depend on it are provisional after that"]
    for now in (CALENDAR_ENDS - notice, CALENDAR_ENDS, CALENDAR_ENDS + timedelta(days=400)):
        assert problems(book(), now) == expected


def test_the_command_says_what_the_check_says_now(run: Run) -> None:
    expected = problems(book(), datetime.now(UTC))

    ran = run("prices", "check", "--json")
    assert json.loads(ran.out) == {"edition": book().edition, "problems": expected}
    assert ran.code == int(bool(expected))
    told = run("prices", "check")
    assert told.code == ran.code
    assert told.err.splitlines() == expected
    assert (told.out == "") == bool(expected)


def test_a_book_of_ones_own_adds_tariffs(run: Run, own_book: Path) -> None:
    own_book.write_text(OWN)

    quoted = run(*words("quote --model own --completed-at 2026-11-02T00:00:00Z --output 1000000 --json")).json
    assert (quoted["tariff"], quoted["total"]) == ("own/1", "3.00")
    assert run("prices", "show", "own", "--at", "2026-11-02T00:00:00Z").done.startswith("own at 2026-11-02T00:00:00Z")
    chat = run(*words("quote --model deepseek-chat --completed-at 2025-03-03T12:00:00Z --output 1000000 --json")).json
    assert chat["total"] == "1.10"


def test_a_gap_that_nothing_explains_is_found(run: Run, own_book: Path) -> None:
    own_book.write_text(OWN.replace("from = 2026-11-01T00:00:00Z", "to = 2026-11-01T00:00:00Z"))

    ran = run("prices", "check")
    assert ran.code == 1
    assert "own has no USD price from 2026-11-01T00:00:00Z on, and nothing explains it" in ran.err.splitlines()


def test_an_overlap_fails_the_check_and_is_one_line_elsewhere(run: Run, sqlite: str, own_book: Path) -> None:
    own_book.write_text(OVERLAP)

    ran = run("prices", "check")
    assert (ran.code, ran.out) == (1, "")
    assert SAYS_OVERLAP.fullmatch(ran.err.rstrip("\n"))
    ran = run("prices", "check", "--json")
    assert ran.code == 1
    checked = json.loads(ran.out)
    assert checked["edition"] is None
    assert [bool(SAYS_OVERLAP.fullmatch(problem)) for problem in checked["problems"]] == [True]
    for command in ("prices list", "quote --model own --completed-at 2026-11-02T00:00:00Z", "record -"):
        assert SAYS_OVERLAP.fullmatch(run(*command.split(), stdin=b"{}\n").refused)


def test_a_missing_source_fails_the_check(run: Run, own_book: Path) -> None:
    own_book.write_text(OWN.replace('source = "our contract"\nchecked', "checked"))

    ran = run("prices", "check")
    assert (ran.code, ran.out, ran.err) == (1, "", "tariffs.own/1.source: is missing\n")


@pytest.mark.parametrize("content", [None, b"\xff", b"= no TOML"])
def test_a_book_that_cannot_be_read_is_one_line(run: Run, own_book: Path, content: bytes | None) -> None:
    if content is not None:
        own_book.write_bytes(content)

    refused = run("prices", "list").refused
    assert refused.startswith(("COSTMETER_PRICE_BOOK ", "price book "))
