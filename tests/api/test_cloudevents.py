"""Usage events in CloudEvents, written by the cloudevents package in its three modes and sent over a socket."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from costmeter.api.cloudevents import BATCH, STRUCTURED, TYPE, is_cloudevent, read_cloudevents
from costmeter.core.errors import InputError
from costmeter.core.events import read_event
from tests.api.serving import Api, posted
from tests.make import MARCH, MILLION, an_event, usage

AT = datetime(2025, 3, 3, 12, tzinfo=UTC)
COUNTS = ("accepted", "duplicates", "conflicts", "quarantined")


def a_cloudevent(data: Any = None, **attributes: Any) -> CloudEvent:
    """An event whose usage event has neither an id nor a completion of its own."""
    usage_event = {"model": "deepseek-chat", "usage": usage(output=MILLION)} if data is None else data
    given = {"id": "a-1", "source": "/billing", "type": TYPE, "time": AT, "datacontenttype": "application/json"}
    return CloudEvent(given | attributes, usage_event)


def batch(*events: CloudEvent) -> HTTPMessage:
    """The package writes no batch: an array of what it writes."""
    body = b"[" + b",".join(to_structured_event(event).body for event in events) + b"]"
    return HTTPMessage({"content-type": BATCH}, body)


def the_event(message: HTTPMessage) -> Any:
    (one,) = read_cloudevents(message.headers, message.body)
    return one.body


def refused(body: Any, kind: str = STRUCTURED) -> str:
    with pytest.raises(InputError) as caught:
        read_cloudevents({"Content-Type": kind}, body if isinstance(body, bytes) else json.dumps(body).encode())
    return str(caught.value)


MODES = pytest.mark.parametrize("write", [to_structured_event, to_binary_event, batch])
WRITTEN = json.loads(to_structured_event(a_cloudevent()).body)


class TestReading:
    @MODES
    def test_id_and_source_name_it_and_its_time_is_its_completion(self, write: Any) -> None:
        message = write(a_cloudevent())
        assert is_cloudevent(message.headers)
        assert the_event(message) == an_event("a-1 /billing", MARCH)

    @MODES
    def test_what_the_usage_event_says_itself_goes_first(self, write: Any) -> None:
        own = an_event("own", "2025-03-01T00:00:00Z")
        assert the_event(write(a_cloudevent(own))) == own

    @MODES
    def test_schema_and_extensions_are_ignored(self, write: Any) -> None:
        event = a_cloudevent(dataschema="https://example.com/schema", traceparent="00-1", subject="x")
        assert the_event(write(event)) == an_event("a-1 /billing", MARCH)

    def test_the_same_id_of_two_sources_is_two(self) -> None:
        message = batch(a_cloudevent(), a_cloudevent(source="/other"))
        names = [one.body["event_id"] for one in read_cloudevents(message.headers, message.body)]  # type: ignore[index]
        assert names == ["a-1 /billing", "a-1 /other"]

    def test_a_long_name_is_shortened_to_one_of_its_own(self) -> None:
        first, second = (the_event(to_structured_event(a_cloudevent(id="a" * 300 + end)))["event_id"] for end in "xy")
        assert first != second
        assert len(first) == len("ce:") + 64

    def test_data_in_base64_is_read(self) -> None:
        event = a_cloudevent(json.dumps(an_event("own")).encode())
        assert the_event(to_structured_event(event)) == an_event("own")

    def test_without_a_time_its_completion_is_not_made_up(self) -> None:
        without = {name: value for name, value in WRITTEN.items() if name != "time"}
        (one,) = read_cloudevents({"content-type": STRUCTURED}, json.dumps(without).encode())
        assert "completed_at" not in one.body  # type: ignore[operator]

    def test_the_example_of_the_documents(self) -> None:
        text = (Path(__file__).parents[2] / "docs/collectors.md").read_text(encoding="utf-8")
        body = text.partition("```json\n")[2].partition("```")[0].encode()
        (one,) = read_cloudevents({"content-type": STRUCTURED}, body)
        event = read_event(one.body)
        assert (event.event_id, event.usage) == ("a-1 /billing/exporter", (512, 51, 116, 0, ()))

    @pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", ""])
    def test_other_requests_are_no_cloudevents(self, kind: str) -> None:
        assert not is_cloudevent({"content-type": kind, "ce-tag": "a"})


class TestRefusing:
    @pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
    def test_what_is_missing_is_named_and_never_made_up(self, name: str) -> None:
        assert refused({key: value for key, value in WRITTEN.items() if key != name}).startswith(f"{name}: is missing")

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"type": "com.example.order"}, f"type 'com.example.order': send events of type {TYPE}"),
            ({"specversion": "0.3"}, "specversion"),
            ({"specversion": 1}, "specversion"),
            ({"id": ""}, "id"),
            ({"source": 7}, "source"),
            ({"time": "yesterday"}, "time"),
            ({"time": 7}, "time: write an RFC 3339 instant"),
            ({"time": "2025-03-03T12:00:00"}, "time"),
            ({"data": [1]}, "data: write the usage event as a JSON object"),
            ({"data": "text"}, "data: is no JSON"),
            ({"data": None, "data_base64": "a"}, "data_base64: is no base64"),
            ({"data": None, "data_base64": 7}, "data_base64 7: is no base64"),
            ({"More": 1}, "More"),
        ],
    )
    def test_what_is_wrong_is_named(self, wrong: dict[str, Any], says: str) -> None:
        assert says in refused(WRITTEN | wrong)

    def test_what_is_no_event(self) -> None:
        assert refused(b"{").startswith("body: is no JSON")
        assert refused([WRITTEN]).startswith("body: write each CloudEvent as a JSON object")
        assert refused(WRITTEN, BATCH).startswith("body: is no batch")
        assert refused(WRITTEN, "application/cloudevents+avro").startswith(
            "Content-Type 'application/cloudevents+avro'"
        )

    @given(st.binary(), st.sampled_from([STRUCTURED, BATCH, "application/json"]))
    def test_any_bytes_are_events_or_an_error_of_ours(self, body: bytes, kind: str) -> None:
        headers = {"content-type": kind, "ce-id": "a", "ce-source": "/b", "ce-type": TYPE, "ce-specversion": "1.0"}
        try:
            read_cloudevents(headers, body)
        except InputError:
            return

    @given(st.dictionaries(st.sampled_from([*WRITTEN, "data_base64", "more"]), st.deferred(lambda: JSON_VALUES)))
    def test_any_attributes_are_an_event_or_an_error_of_ours(self, wrong: dict[str, Any]) -> None:
        try:
            read_cloudevents({"content-type": BATCH}, json.dumps([WRITTEN | wrong]).encode())
        except InputError:
            return

    @given(st.dictionaries(st.sampled_from(["ce-id", "ce-time", "ce-type", "ce-more", "content-type"]), st.text()))
    def test_any_headers_are_an_event_or_an_error_of_ours(self, wrong: dict[str, str]) -> None:
        try:
            read_cloudevents({**to_binary_event(a_cloudevent()).headers, **wrong}, b"{}")
        except InputError:
            return


JSON_VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class TestSending:
    def send(self, api: Api, message: HTTPMessage) -> Any:
        return api.post("/v1/events", content=message.body, headers=message.headers)

    @MODES
    def test_each_mode_is_recorded_once_and_charged(self, sqlite_api: Api, write: Any) -> None:
        for expected in ((1, 0, 0, 0), (0, 1, 0, 0)):
            answer = self.send(sqlite_api, write(a_cloudevent()))
            assert tuple(answer.json()[name] for name in COUNTS) == expected, answer.text
        posted(sqlite_api)
        (call,) = sqlite_api.get("/v1/events").json()["data"]
        assert (call["event_id"], call["completed_at"]) == ("a-1 /billing", MARCH)
        report = sqlite_api.get("/v1/reports/spend", params={"month": "2025-03"}).json()
        assert report["totals"]["cost"] == "1.10"

    def test_a_batch_tells_what_it_refused(self, sqlite_api: Api) -> None:
        bad = a_cloudevent(an_event("bad", hit=7, usage={"prompt_tokens": -1}))
        answer = self.send(sqlite_api, batch(a_cloudevent(), bad)).json()
        assert tuple(answer[name] for name in COUNTS) == (1, 0, 0, 1)
        assert [result["index"] for result in answer["results"]] == [1]

    def test_one_that_cannot_be_used_is_a_problem(self, sqlite_api: Api) -> None:
        bad = a_cloudevent(an_event("bad", completed_at="yesterday"))
        assert self.send(sqlite_api, to_structured_event(bad)).status_code == 422

    def test_another_type_is_a_problem_that_names_it(self, sqlite_api: Api) -> None:
        answer = self.send(sqlite_api, batch(a_cloudevent(), a_cloudevent(type="com.example.order")))
        assert answer.status_code == 400
        assert "type 'com.example.order': send events of type costmeter.usage.v1" in answer.json()["detail"]
        assert sqlite_api.get("/v1/accounts").json()["data"] == []
