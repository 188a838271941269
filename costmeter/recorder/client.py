"""`wrap`: an OpenAI client that records its calls, one line to add."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from costmeter.core.errors import InputError
from costmeter.recorder.attribution import Attribution, check_attribution
from costmeter.recorder.clock import Clock
from costmeter.recorder.spool import Spool

if TYPE_CHECKING:
    import openai

_Client = TypeVar("_Client", bound="openai.OpenAI | openai.AsyncOpenAI")

_REMEDY = (
    "is no client that can be recorded: pass an OpenAI or AsyncOpenAI client of openai 3 or newer "
    '(pip install "openai>=3") on httpx2, or use costmeter.RecordingTransport'
)


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

    It shares its connections with the original, as `client.copy()` does: closing it closes both. Wrapping a wrapped
    client records once, with this attribution over the first one. Raises InputError where the client is none that
    can be recorded.
    """
    said = check_attribution(account=account, project=project, user=user, api_key=api_key, tags=tags)
    recorded = _recorded(_http_client(client), said, _clock, _spool)
    return cast("_Client", client.copy(http_client=recorded))


def _http_client(client: object) -> Any:
    try:
        import httpx2
    except ImportError:
        raise InputError("client", type(client).__qualname__, _REMEDY) from None
    http = getattr(client, "_client", None)
    if not isinstance(http, httpx2.Client | httpx2.AsyncClient) or not hasattr(client, "copy"):
        raise InputError("client", type(client).__qualname__, _REMEDY)
    return http


def _recorded(http: Any, said: Attribution, clock: Clock | None, spool: Spool | None) -> Any:
    """A copy of an httpx2 client, with all its settings and over the same connections, that records."""
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
    import httpx2

    from costmeter.recorder.httpx2_transport import AsyncRecordingTransport, RecordingTransport

    if isinstance(transport, RecordingTransport | AsyncRecordingTransport):
        outer = transport.recorder
        said, clock, spool = said.over(outer.attribution), clock or outer.clock, spool or outer.spool
        transport = transport.inner
    kind = RecordingTransport if isinstance(owner, httpx2.Client) else AsyncRecordingTransport
    return kind(transport, **said._asdict(), _clock=clock, _spool=spool, _owner=owner)


@functools.cache
def _without_finalizer(kind: type) -> type:
    """The same class, whose instances do not close their connections when they are forgotten.

    The clients that openai makes do; but these connections are the original's, which the copy keeps alive.
    """
    if not hasattr(kind, "__del__"):
        return kind
    named = {"__del__": lambda _self: None, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), named)
