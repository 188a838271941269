"""A month for the FOCUS export, with everything in it."""

from __future__ import annotations

from sqlalchemy import Engine

from costmeter.services.void_credit import void_credit
from tests.make import an_event, at, grant, record_and_post, top_up


def spend(engine: Engine) -> None:
    """A month with everything in it: both kinds of credit, bands, keys, a top-up taken back, a call without a price."""
    top_up(engine, "5.00", "2025-03-01T00:00:00Z", reference="invoice-17")
    top_up(engine, "9.00", "2025-03-01T00:00:00Z", reference="wrong")
    void_credit(engine, "default", "wrong", reason="never paid", by="Ada", now=at("2025-03-02T00:00:00Z"))
    grant(engine, "0.50", "2025-03-02T00:00:00Z")
    record_and_post(
        engine,
        an_event("a", hit=3, miss=4, project="search", api_key="backend"),
        an_event("b", "2025-03-04T17:00:00Z", output=2, project='a,"b"\n=1'),
        an_event("c", "2025-03-04T18:00:00Z", output=10_000_000),
        an_event("d", "2025-03-04T18:00:00Z", model="deepseek-9"),
    )
