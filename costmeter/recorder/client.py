"""`wrap`: a client of the OpenAI or the Anthropic SDK that records its calls, one line to add."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, cast

from costmeter.core.errors import InputError
from costmeter.recorder.attribution import Attribution, check_attribution
from costmeter.recorder.clock import Clock
from costmeter.recorder.library import library_of
from costmeter.recorder.spool import Spool
from costmeter.recorder.transport import AsyncRecordingTransport, RecordingTransport

_REMEDY = (
    "is no client that can be recorded: pass an OpenAI, AsyncOpenAI, Anthropic or AsyncAnthropic client itself; give "
    "to whatever makes its own an HTTP client of httpx2 or httpx with transport=costmeter.RecordingTransport()"
)


class SDKClient(Protocol):
    """A client that can be made anew over another HTTP client, as those of the two SDKs and of their clouds can."""

    def copy(self, *, http_client: Any = None) -> Any:
        """A new client of the same class and options."""


_Client = TypeVar("_Client", bound=SDKClient)


def wrap(
    client: _Client,
    *,
    account: str | None = None,
    project: str | None = None,
    user: str | None = None,
    api_key: str | None = None,
    tags: Mapping[str, str] | None = None,
    _clock: Clock | None = None,
    _spool: Spool | None = None,
) -> _Client:
    """A new client of the same class that records every metered call; what it answers stays the same.

    For OpenAI and AsyncOpenAI of `openai`, Anthropic and AsyncAnthropic of `anthropic` (at DeepSeek's /anthropic), and
    their subclasses, on httpx2 or httpx. It shares its connections with the original, as `client.copy()` does: closing
    it closes both. Wrapping a wrapped client records once, with this attribution over the first one. Raises InputError
    where the client is none that can be recorded, and SetupError under gevent.
    """
    said = check_attribution(account=account, project=project, user=user, api_key=api_key, tags=tags)
    recorded = _recorded(_http_client(client), said, _clock, _spool)
    return cast("_Client", client.copy(http_client=recorded))


def _http_client(client: object) -> Any:
    http = getattr(client, "_client", None)
    library = library_of(http)
    if library is None or not isinstance(http, library.Client | library.AsyncClient) or not hasattr(client, "copy"):
        raise InputError("client", type(client).__qualname__, _REMEDY)
    return http


def _recorded(http: Any, said: Attribution, clock: Clock | None, spool: Spool | None) -> Any:
    """A copy of an HTTP client, with all its settings and over the same connections, that records."""
    # Proxies, mounts, hooks, cookies and authentication are state of the client, and no constructor takes it over.
    state = dict(vars(http))
    record = functools.partial(_recording, http, said=said, clock=clock, spool=spool)
    mounts = state["_mounts"].items()
    state["_mounts"] = {pattern: None if transport is None else record(transport) for pattern, transport in mounts}
    state["_transport"] = record(state["_transport"])
    copied: Any = object.__new__(_without_finalizer(http.__class__))
    vars(copied).update(state)
    return copied


def _recording(owner: Any, transport: Any, *, said: Attribution, clock: Clock | None, spool: Spool | None) -> Any:
    if isinstance(transport, RecordingTransport | AsyncRecordingTransport):
        outer = transport.recorder
        said, clock, spool = said.over(outer.attribution), clock or outer.clock, spool or outer.spool
        transport = transport.open_inner(owner)
    kind = RecordingTransport if isinstance(owner, library_of(owner).Client) else AsyncRecordingTransport
    return kind(transport, **said._asdict(), _clock=clock, _spool=spool, _owner=owner)


@functools.cache
def _without_finalizer(kind: type) -> type:
    """The same class, whose instances do not close their connections when they are forgotten.

    The clients that the SDKs make do; but these connections are the original's, which the copy keeps alive.
    """
    if not hasattr(kind, "__del__"):
        return kind
    named = {"__del__": lambda _self: None, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), named)
