"""What the pages work with, and where a request finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from fastapi import Request
from sqlalchemy import Connection, Engine

from costmeter.core.access import Grant
from costmeter.core.deliveries import Channel
from costmeter.core.price_book import PriceBook
from costmeter.reports.machine import Machine
from costmeter.store.accounts import Home
from costmeter.web.posted import Posted


class Reading(Protocol):
    """Gives a snapshot for one answer, of which no statement takes longer than that many seconds."""

    def __call__(self, seconds: float | None = None, /) -> AbstractContextManager[Connection]: ...


class Site(NamedTuple):
    """The pages of one process.

    `reading` gives a snapshot for one answer; `engine` is for what changes something, and `home`, `close_grace` and
    `channels` are what that goes by; `posted` tells open pages of what is new, `machine` what this process knows of
    itself. `own_user` is the grant of who needs no
    sign-in, asked with a request; without it everybody signs in. `url` is the public address, where it is known.
    """

    reading: Reading
    book: PriceBook
    now: Callable[[], datetime]
    engine: Engine
    home: Home
    close_grace: timedelta
    channels: Callable[[], Mapping[str, Channel]]
    posted: Posted
    machine: Callable[[], Machine]
    own_user: Callable[[Request], Grant | None] | None = None
    url: str | None = None

    def is_https(self, request: Request) -> bool:
        """Whether browsers reach it by TLS, which ends at a proxy in front."""
        return (self.url or str(request.url)).lower().startswith("https://")


def site_of(request: Request) -> Site:
    """The site that the app was given."""
    site: Site = request.app.state.site
    return site
