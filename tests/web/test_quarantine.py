"""Quarantine on pages: the API's items, and deciding about them by forms."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from costmeter.reports.quarantine import PAGE
from costmeter.store.tables import EventRow, QuarantineRow
from tests.make import an_event, at, counted, quarantined, record, rows
from tests.web.books import NOW
from tests.web.changing import check_guards, logged, send, token_of
from tests.web.operating import fill_quarantine
from tests.web.reading import Read
from tests.web.serving import Browser, Pages, paged

FLASH: dict[str, Any] = {"model": "deepseek-flash", "account": "shop"}


@pytest.fixture(scope="module")
def kept(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Books with items of each kind; its tests decide about none."""
    path = tmp_path_factory.mktemp("kept") / "costmeter.sqlite3"
    shutil.copy(books, path)
    with paged(f"sqlite:///{path}", NOW) as pages:
        fill_quarantine(pages.engine)
        record(pages.engine, an_event("other", "2026-11-18T12:00:00Z", model="deepseek-flash", account="labs"), now=NOW)
        yield pages


@pytest.fixture
def own(books: Path, tmp_path: Path) -> Iterator[Pages]:
    """Books of which a test changes something."""
    shutil.copy(books, tmp_path / "costmeter.sqlite3")
    with paged(f"sqlite:///{tmp_path}/costmeter.sqlite3", NOW) as pages:
        fill_quarantine(pages.engine)
        yield pages


def item_of(pages: Pages, event_id: str) -> str:
    found: str = next(one["item"].hex() for one in quarantined(pages.engine) if one["event_id"] == event_id)
    return found


def state_of(pages: Pages, item: str) -> tuple[str, str | None, str | None]:
    found = next(one for one in quarantined(pages.engine) if one["item"].hex() == item)
    return found["state"], found["decided_by"], found["reason"]


def listed(browser: Browser, **asked: str) -> list[str]:
    """The items of a page, by the links to them."""
    answer = browser.get("/quarantine", params=asked)
    assert answer.status_code == 200, answer.text
    return [part[:32] for part in answer.text.split('href="/quarantine/items/')[1:]]


@pytest.mark.parametrize("seed", range(8))
def test_items_are_the_apis(kept: Pages, seed: int) -> None:
    chance = random.Random(seed)
    state = chance.choice(("open", "open", "discarded", "replayed", "all"))
    account, kind = chance.choice((None, "shop", "labs", "default")), chance.choice((None, "refused", "conflict"))
    asked = {name: value for name, value in (("account", account), ("kind", kind), ("state", state)) if value}
    api = kept.api(kept.key("read"))
    told = {name: value for name, value in asked.items() if name != "kind"}
    items = [one for one in api.get("/v1/quarantine", params=told).json()["data"] if kind in (None, one["kind"])]
    browser = kept.browser(kept.key("read"))
    assert listed(browser, **asked) == [one["item"] for one in items]
    if items:
        seen = Read(browser.get("/quarantine", params=asked).text).body("items-table")
        assert [row[4] for row in seen] == [one["error"] for one in items]
        assert {row[5] for row in seen} == {one["state"] for one in items}
    open_items = api.get("/v1/quarantine", params={"account": account} if account else {}).json()["data"]
    marked = Read(browser.get("/quarantine", params=asked).text).marked
    for one in ("refused", "malformed", "conflict"):
        assert int(marked.get(one, "0")) == sum(item["kind"] == one for item in open_items)


def test_an_item_says_all_that_was_kept(kept: Pages) -> None:
    browser, api = kept.browser(kept.key("read")), kept.api(kept.key("read"))
    for item in api.get("/v1/quarantine", params={"state": "all"}).json()["data"]:
        page = unescape(browser.get(f"/quarantine/items/{item['item']}").text)
        for name in ("error", "place", "account", "kind", "state", "reason", "decided_by"):
            assert item[name] is None or str(item[name]) in page, name
        for value in item["body"].values():
            assert isinstance(value, dict) or str(value) in page


def test_a_conflict_stands_beside_the_first_version(kept: Pages) -> None:
    page = kept.browser(kept.key("read")).get(f"/quarantine/items/{item_of(kept, 'example-1')}").text
    (row,) = Read(page).body("differences")
    assert row[0] == "usage"
    assert '"completion_tokens": 11600' in row[1]
    assert '"completion_tokens": 7' in row[2]
    assert 'href="/calls/example-1?account=shop' in page


def test_items_come_in_pages(bare: Pages) -> None:
    record(bare.engine, *(an_event(f"e{n}", "2026-12-01T00:00:00Z", **FLASH) for n in range(PAGE + 3)), now=NOW)
    browser = bare.browser(bare.key("read"))
    first = listed(browser)
    page = browser.get("/quarantine").text
    more = unescape(page.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0])
    second = [part[:32] for part in browser.get(more).text.split('href="/quarantine/items/')[1:]]
    assert (len(first), len(second), len({*first, *second})) == (PAGE, 3, PAGE + 3)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/quarantine?state=closed", 422, "open, replayed, discarded"),
        ("/quarantine?kind=odd", 422, "refused, malformed, conflict"),
        ("/quarantine?before=x", 422, "cursor"),
        ("/quarantine?timezone=x", 422, "no IANA time zone"),
        ("/quarantine/items/xyz", 422, "is no item"),
        ("/quarantine/items/00", 404, "no item 00"),
        ("/quarantine/outcome?at=x", 422, "RFC 3339"),
    ],
)
def test_what_means_nothing_says_so(kept: Pages, path: str, status: int, says: str) -> None:
    answer = kept.browser(kept.key("read")).get(path)
    assert answer.status_code == status
    assert says in unescape(answer.text)


def test_a_limited_key_sees_and_decides_what_is_its_own(own: Pages) -> None:
    mine, theirs = (
        item_of(own, "ahead-0"),
        next(one["item"].hex() for one in quarantined(own.engine) if one["account"] == "default"),
    )
    key = own.key("finance", accounts=["shop", "labs"])
    browser = own.browser(key)
    assert theirs not in listed(browser, state="all", account="shop")
    assert mine in listed(browser, account="shop")
    assert browser.get("/quarantine").status_code == 200, "the first account"
    assert browser.get("/quarantine", params={"account": "default"}).status_code == 403
    for path in (f"/quarantine/items/{theirs}", f"/quarantine/discard?item={mine}&item={theirs}",
                 f"/quarantine/replay?item={theirs}", "/quarantine/replay?all=1&account=default",
                 f"/quarantine/outcome?items={theirs}"):  # fmt: skip
        assert browser.get(path).status_code == 403, path
    form = token_of(browser.get(f"/quarantine/discard?item={mine}").text)
    data = {"form": form, "key": key, "items": f"{mine} {theirs}", "reason": "x"}
    assert browser.submit("/quarantine/discard", data).status_code == 403
    assert browser.submit("/quarantine/replay", data).status_code == 403
    assert state_of(own, mine)[0] == state_of(own, theirs)[0] == "open"
    of_project = own.browser(own.key("finance", projects=["checkout"]))
    assert of_project.get("/quarantine").status_code == 403
    assert of_project.get(f"/quarantine/items/{mine}").status_code == 403


def test_who_may_only_read_is_offered_nothing_to_decide(kept: Pages) -> None:
    page = kept.browser(kept.key("read")).get("/quarantine").text
    assert 'type="checkbox"' not in page
    assert "/quarantine/replay" not in page.replace('action="/quarantine/replay"', "")


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_a_form_is_of_its_session_key_and_role(own: Pages, verb: str) -> None:
    item = item_of(own, "ahead-0")
    check_guards(
        own,
        "finance",
        f"/quarantine/{verb}",
        f"/quarantine/{verb}?item={item}",
        data={"items": item, "reason": "a test"},
        state=lambda: (quarantined(own.engine), counted(own.engine, EventRow), logged(own, f"quarantine.{verb}")),
    )


def test_items_are_discarded_with_a_reason(own: Pages) -> None:
    key, names = own.key("finance"), [item_of(own, f"ahead-{number}") for number in (0, 1)]
    browser = own.browser(key)
    of = f"/quarantine/discard?item={names[0]}&item={names[1]}"
    refused = send(browser, "/quarantine/discard", key, {"items": " ".join(names), "reason": " "}, of=of)
    assert refused.status_code == 422
    assert "reason" in refused.text
    answer = send(browser, "/quarantine/discard", key, {"items": " ".join(names), "reason": "sent twice"}, of=of)
    assert answer.status_code == 303
    told = Read(browser.get(answer.headers["location"]).text)
    assert [row[3:] for row in told.body("outcome-table")] == [["sent twice", "discarded"]] * 2
    who = f"key finance-{own.keys}"
    assert [state_of(own, name) for name in names] == [("discarded", who, "sent twice")] * 2
    assert {(subject, by) for _, subject, by, _ in logged(own, "quarantine.discard")[:2]} == {(n, who) for n in names}
    again = browser.get(of).text
    assert "None of these items is open." in again
    assert 'method="post" action="/quarantine/discard"' not in again


def test_what_was_filled_in_is_there_after_an_error(own: Pages) -> None:
    key, item = own.key("finance"), item_of(own, "ahead-0")
    browser = own.browser(key)
    data = {"items": item, "reason": 'because "so" <b>'}
    answer = send(browser, "/quarantine/discard", f"{key}0", data, of=f"/quarantine/discard?item={item}")
    assert answer.status_code == 403
    assert 'value="because &#34;so&#34; &lt;b&gt;"' in answer.text
    assert "not the key that you signed in with" in answer.text


def test_a_replay_tells_what_became_of_each(own: Pages) -> None:
    key = own.key("finance")
    names = [item_of(own, one) for one in ("ahead-0", "example-1")]
    late = next(one["item"].hex() for one in quarantined(own.engine) if one["body"].get("completed_at") == "yesterday")
    browser, events = own.browser(key), counted(own.engine, EventRow)[0]
    own.clock[0] = at("2026-11-18T09:40:00Z")
    asked = [*names, late]
    of = "/quarantine/replay?" + "&".join(f"item={name}" for name in asked)
    answer = send(browser, "/quarantine/replay", key, {"items": " ".join(asked)}, of=of)
    assert answer.status_code == 303
    told = {row[0]: row[4] for row in Read(browser.get(answer.headers["location"]).text).body("outcome-table")}
    assert told == {names[0][:8]: "replayed", names[1][:8]: "open", late[:8]: "open"}
    assert counted(own.engine, EventRow)[0] == events + 1
    assert state_of(own, names[0])[:2] == ("replayed", f"key finance-{own.keys}")
    assert logged(own)[0][:2] == ("quarantine.replay", names[0])


def test_all_refused_items_are_replayed_at_once(own: Pages) -> None:
    key = own.key("finance")
    browser = own.browser(key)
    own.clock[0] = at("2026-11-18T09:40:00Z")
    of = "/quarantine/replay?all=1&account=shop"
    assert "Replay 4 items" in browser.get(of).text
    answer = send(browser, "/quarantine/replay", key, {"all": "1", "account": "shop"}, of=of)
    assert answer.status_code == 303
    told = Read(browser.get(answer.headers["location"]).text).body("outcome-table")
    assert [row[4] for row in told] == ["replayed"] * 3
    assert [one["state"] for one in rows(own.engine, QuarantineRow) if one["kind"] == "malformed"] == ["open"]


def test_a_conflict_is_recorded_by_an_id_of_its_own(own: Pages) -> None:
    key, item = own.key("finance"), item_of(own, "example-1")
    browser, of = own.browser(key), f"/quarantine/replay?item={item}"
    assert 'name="event_id"' in browser.get(of).text
    known = own.api(key).get("/v1/events", params={"account": "shop"}).json()["data"][-1]["event_id"]
    taken = send(browser, "/quarantine/replay", key, {"items": item, "event_id": known}, of=of)
    assert taken.status_code == 422
    assert f'value="{known}"' in taken.text
    assert "an id that no event has yet" in taken.text
    answer = send(browser, "/quarantine/replay", key, {"items": item, "event_id": "example-2"}, of=of)
    assert answer.status_code == 303
    assert state_of(own, item)[0] == "replayed"
    assert own.api(key).get("/v1/events/example-2", params={"account": "shop"}).status_code == 200


def test_a_broken_line_is_not_sent_again(own: Pages) -> None:
    key = own.key("finance")
    item = next(one["item"].hex() for one in quarantined(own.engine) if one["kind"] == "malformed")
    page = own.browser(key).get(f"/quarantine/replay?item={item}").text
    assert "None of these items can be sent again." in page
    assert 'method="post" action="/quarantine/replay"' not in page
    browser = own.browser(key)
    form = token_of(browser.get("/").text)
    answer = browser.submit("/quarantine/replay", {"form": form, "key": key, "items": item})
    assert answer.status_code == 422
    assert "only its hash is kept" in unescape(answer.text)


def test_too_many_and_none_are_refused(own: Pages) -> None:
    browser = own.browser(own.key("finance"))
    for verb in ("replay", "discard"):
        assert browser.get(f"/quarantine/{verb}").status_code == 422
        many = "&".join(f"item={n:032x}" for n in range(101))
        assert browser.get(f"/quarantine/{verb}?{many}").status_code == 422
