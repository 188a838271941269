"""Which spans are calls of DeepSeek, and what is read of them; whatever else comes is refused by an error of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from costmeter.api.otlp.spans import INFERENCE
from costmeter.api.otlp.wire import JSON, PROTOBUF, Traces, read_traces
from costmeter.core.errors import InputError
from costmeter.core.events import read_event
from costmeter.core.usage import NO_CACHE_FIELDS
from tests.api.spanning import CALL, SPAN, TRACE, a_request, a_span


def read(*spans: dict[str, Any], **resource: Any) -> Traces:
    return read_traces(json.dumps(a_request(*spans, **resource)).encode(), JSON)


def the_event(*spans: dict[str, Any], **resource: Any) -> Any:
    """The usage event of the one call, as it is recorded."""
    (one,) = read(*spans, **resource).received
    return read_event(one.body)


def ignored(**attributes: Any) -> dict[str, int]:
    traces = read(a_span(attributes))
    assert len(traces.received) + sum(traces.ignored.values()) == 1
    return dict(traces.ignored)


class TestACall:
    def test_its_event(self) -> None:
        (one,) = read(a_span()).received
        assert one.place == f"span {TRACE}:{SPAN}"
        assert one.body == {
            "event_id": f"{TRACE}:{SPAN}",
            "provider": "deepseek",
            "model": "deepseek-chat",
            "requested_model": "deepseek-chat",
            "response_id": "c56bbff7",
            "started_at": "2025-03-03T12:00:00.123456Z",
            "completed_at": "2025-03-03T12:00:01Z",
            "status": "ok",
            "usage": {
                "prompt_tokens": 563,
                "completion_tokens": 116,
                "prompt_tokens_details": {"cached_tokens": 512},
            },
            "detail": {"instrumentation": "tests"},
        }
        assert read_event(one.body).usage == (512, 51, 116, 0, ())

    def test_protobuf_and_json_say_the_same(self) -> None:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        scope = resource.scope_spans.add()
        scope.scope.name = "tests"
        span = scope.spans.add(
            trace_id=bytes.fromhex(TRACE),
            span_id=bytes.fromhex(SPAN),
            start_time_unix_nano=1_741_003_200_123_456_789,
            end_time_unix_nano=1_741_003_201_000_000_999,
        )
        for name, value in CALL.items():
            attribute = span.attributes.add(key=name)
            if isinstance(value, int):
                attribute.value.int_value = value
            else:
                attribute.value.string_value = str(value)

        assert read_traces(request.SerializeToString(), PROTOBUF) == read(a_span())

    def test_reasoning_lies_inside_the_output_and_a_cache_write_inside_the_misses(self) -> None:
        more = {"gen_ai.usage.reasoning.output_tokens": 60, "gen_ai.usage.cache_creation.input_tokens": 51}
        event = the_event(a_span(more))
        assert event.usage == (512, 51, 116, 60, ())
        assert event.raw_usage["prompt_tokens_details"]["cache_write_tokens"] == 51

    def test_one_that_says_nothing_of_the_cache_is_flagged(self) -> None:
        event = the_event(a_span({"gen_ai.usage.cache_read.input_tokens": None}))
        assert event.usage == (0, 563, 116, 0, (NO_CACHE_FIELDS,))

    def test_no_hits_that_were_told_are_no_doubt(self) -> None:
        event = the_event(a_span({"gen_ai.usage.cache_read.input_tokens": 0}))
        assert event.usage == (0, 563, 116, 0, ())

    def test_deepseeks_own_fields_go_first(self) -> None:
        details = {"prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 563, "reasoning_tokens": 60}
        more = {f"gen_ai.usage.details.{name}": count for name, count in details.items()}
        event = the_event(a_span({**more, "gen_ai.usage.cache_read.input_tokens": None}))
        assert event.usage == (0, 563, 116, 60, ())

    def test_older_names_are_read(self) -> None:
        old = {
            "gen_ai.provider.name": None,
            "gen_ai.system": "deepseek",
            "server.address": None,
            "gen_ai.operation.name": None,
            "gen_ai.usage.input_tokens": None,
            "gen_ai.usage.output_tokens": None,
            "gen_ai.usage.cache_read.input_tokens": None,
            "gen_ai.usage.prompt_tokens": 563,
            "gen_ai.usage.completion_tokens": 116,
            "gen_ai.usage.cache_read_input_tokens": 512,
            "gen_ai.usage.reasoning_tokens": 7,
        }
        assert the_event(a_span(old)).usage == (512, 51, 116, 7, ())

    def test_counts_that_are_no_counts_are_refused_when_it_is_recorded(self) -> None:
        for count in (-1, 1.5, True, "many"):
            (one,) = read(a_span({"gen_ai.usage.input_tokens": count})).received
            with pytest.raises(InputError, match="prompt_tokens"):
                read_event(one.body)

    def test_a_span_without_an_id_has_that_of_its_response(self) -> None:
        event = the_event(a_span(trace_id="00" * 16))
        assert (event.event_id, event.response_id) == (None, "c56bbff7")

    def test_messages_are_not_read(self) -> None:
        prompts = {"gen_ai.input.messages": "a secret", "gen_ai.system_instructions": "a secret", "other": "a secret"}
        assert "a secret" not in repr(read(a_span(prompts)))


class TestWhoseCallItIs:
    def test_what_the_conventions_have(self) -> None:
        event = the_event(a_span({"user.id": "u-1"}), **{"service.name": "search", "enduser.id": "u-2"})
        assert (event.account, event.project, event.user, event.api_key) == ("default", "search", "u-2", None)

    def test_our_own_names_go_first_and_those_of_the_span_before_the_resource(self) -> None:
        own = {"costmeter.user": 17, "costmeter.tag.team": "a", "user.id": "other", "costmeter.account": "acme"}
        resource = {
            "service.name": "search",
            "costmeter.project": "books",
            "costmeter.account": "elsewhere",
            "costmeter.api_key": "backend",
            "costmeter.tag.team": "b",
            "costmeter.tag.stage": "test",
        }
        event = the_event(a_span(own), **resource)
        assert (event.account, event.project, event.user, event.api_key) == ("acme", "books", "17", "backend")
        assert event.tags == {"team": "a", "stage": "test"}

    def test_a_service_that_nobody_named_is_no_project(self) -> None:
        assert the_event(a_span(), **{"service.name": "unknown_service:python"}).project is None

    def test_a_key_is_not_kept(self) -> None:
        assert the_event(a_span({"costmeter.api_key": "sk-0123456789abcdef"})).api_key.startswith("fp_")


class TestACallWithoutUsage:
    def event(self, status: dict[str, Any] | None = None, **attributes: Any) -> Any:
        without = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
        span = a_span(without | attributes)
        return the_event(span | {"status": status or {}})

    @pytest.mark.parametrize(
        ("error", "message", "http_status"),
        [
            ("429", "", 429),
            ("openai.APIStatusError", "Error code: 402 - Insufficient Balance", 402),
            ("openai.RateLimitError", "", 429),
            ("anthropic.InternalServerError", "", None),
        ],
    )
    def test_a_refusal_is_failed(self, error: str, message: str, http_status: int | None) -> None:
        event = self.event({"code": 2, "message": message}, **{"error.type": error})
        assert (event.status, event.http_status, event.error_code) == ("failed", http_status, error)

    def test_a_status_that_was_told_is_a_refusal(self) -> None:
        event = self.event({"code": 2}, **{"http.response.status_code": 503})
        assert (event.status, event.http_status) == ("failed", 503)

    def test_what_was_cut_off_is_unmetered(self) -> None:
        event = self.event({"code": 2, "message": "Connection error."}, **{"error.type": "openai.APIConnectionError"})
        assert (event.status, event.reason) == ("unmetered", "cut off: openai.APIConnectionError")

    def test_what_has_no_error_says_what_is_missing(self) -> None:
        event = self.event()
        said = "the span has no gen_ai.usage.input_tokens and no gen_ai.usage.output_tokens"
        assert (event.status, event.reason) == ("unmetered", said)

    def test_half_of_a_usage_is_none(self) -> None:
        event = the_event(a_span({"gen_ai.usage.output_tokens": None}))
        assert (event.status, event.reason) == ("unmetered", "the span has no gen_ai.usage.output_tokens")

    def test_usage_counts_whatever_became_of_the_call(self) -> None:
        assert the_event(a_span({"error.type": "ValueError"}) | {"status": {"code": 2}}).status == "ok"


class TestWhichSpans:
    def test_the_host_decides_where_it_is_known(self) -> None:
        assert ignored() == {}
        assert ignored(**{"server.address": "API.DeepSeek.com."}) == {}
        assert ignored(**{"server.address": "api.openai.com"}) == {"other_provider": 1}
        assert ignored(**{"server.address": "openrouter.ai", "gen_ai.provider.name": "deepseek"}) == {"unknown_host": 1}

    def test_the_provider_decides_where_it_is_not(self) -> None:
        assert ignored(**{"server.address": None}) == {"other_provider": 1}
        assert ignored(**{"server.address": None, "gen_ai.provider.name": "deepseek"}) == {}

    def test_further_hosts_can_be_named(self) -> None:
        body = json.dumps(a_request(a_span({"server.address": "llm.corp.example"}))).encode()
        assert len(read_traces(body, JSON, frozenset({"llm.corp.example"})).received) == 1

    @pytest.mark.parametrize(
        "operation", ["embeddings", "fetch_response", "execute_tool", "invoke_agent", "create_agent", "invoke_workflow"]
    )
    def test_sums_tools_and_fetches_are_no_calls(self, operation: str) -> None:
        assert ignored(**{"gen_ai.operation.name": operation}) == {"not_inference": 1}

    def test_an_agent_and_its_calls_count_the_calls(self) -> None:
        agent = a_span({"gen_ai.operation.name": "invoke_agent"}, span_id="eee19b7ec3c1b173")
        traces = read(agent, a_span(), a_span(span_id="eee19b7ec3c1b175"))
        assert (len(traces.received), traces.ignored) == (2, {"not_inference": 1})

    def test_every_inference_is_a_call(self) -> None:
        assert all(ignored(**{"gen_ai.operation.name": operation}) == {} for operation in INFERENCE)

    def test_a_span_of_something_else(self) -> None:
        span = a_span() | {"attributes": [{"key": "http.request.method", "value": {"stringValue": "GET"}}]}
        assert read(span).ignored == {"no_gen_ai": 1}


class TestWhatIsNoRequest:
    @pytest.mark.parametrize("trace_id", ["xyz", "5b8", 7, None, {"a": 1}])
    def test_an_id_that_is_not_hexadecimal_is_named(self, trace_id: Any) -> None:
        with pytest.raises(InputError, match="traceId"):
            read(a_span(trace_id=trace_id))

    @pytest.mark.parametrize("body", [b'"AAA"', b"[]", b"null", b"7", b'{"resourceSpans": "AAA"}'])
    def test_what_is_no_object_is_no_empty_request(self, body: bytes) -> None:
        with pytest.raises(InputError, match="body: is no"):
            read_traces(body, JSON)

    def test_a_media_type_is_named(self) -> None:
        with pytest.raises(InputError, match="Content-Type 'text/plain'"):
            read_traces(b"", "text/plain")

    @given(st.binary())
    def test_any_bytes_are_a_request_or_an_error_of_ours(self, body: bytes) -> None:
        for media_type in (PROTOBUF, JSON):
            try:
                read_traces(body, media_type)
            except InputError:
                continue

    @given(st.data())
    def test_any_json_is_a_request_or_an_error_of_ours(self, data: st.DataObject) -> None:
        """Anything in the place of any part of a request, and in every place."""
        wrong = data.draw(
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
                max_leaves=5,
            )
        )
        body = json.dumps(_replaced(a_request(a_span(), **{"service.name": "a"}), wrong, data)).encode()
        try:
            traces = read_traces(body, JSON)
        except InputError:
            return
        for one in traces.received:
            try:
                read_event(one.body)
            except InputError:
                continue

    @given(st.data())
    def test_any_damaged_request_is_a_request_or_an_error_of_ours(self, data: st.DataObject) -> None:
        request = ExportTraceServiceRequest()
        span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"1" * 16, span_id=b"2" * 8)
        span.attributes.add(key="gen_ai.request.model").value.string_value = "deepseek-chat"
        span.attributes.add(key="server.address").value.string_value = "api.deepseek.com"
        whole = bytearray(request.SerializeToString())
        for _ in range(data.draw(st.integers(1, 3))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        try:
            read_traces(bytes(whole), PROTOBUF)
        except InputError:
            return


def _replaced(value: Any, wrong: Any, data: st.DataObject) -> Any:
    """The same with something wrong in one place, chosen on the way down."""
    if not value or not isinstance(value, dict | list) or data.draw(st.integers(0, 7)) == 0:
        return wrong
    if isinstance(value, list):
        place = data.draw(st.integers(0, len(value) - 1))
        return [_replaced(one, wrong, data) if number == place else one for number, one in enumerate(value)]
    name = data.draw(st.sampled_from(sorted(value)))
    return value | {name: _replaced(value[name], wrong, data)}
