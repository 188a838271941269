"""What a process of the service knows of itself and of its machine, for the pages of operations."""

from __future__ import annotations

import shutil
from datetime import datetime
from typing import TYPE_CHECKING

from costmeter.core.errors import CostmeterError
from costmeter.wiring.given import settings, spool_folder
from costmeter.wiring.jobs import jobs_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from costmeter.api.service import Service
    from costmeter.gateway.app import Gateway
    from costmeter.reports.machine import Machine, Passing, Planned, Spooled


def look_at_machine(service: Service, gateway: Gateway | None) -> Machine:
    """The poster, the schedule, the spool and the gateway of this process, as they are now."""
    from costmeter.reports.machine import Machine, Posting

    plan: list[Planned] = []
    error = None
    try:
        plan = _plan(service.engine, service.now())
    except CostmeterError as found:
        error = str(found)
    posting = Posting(service.poster.is_alive(), service.poster.failing_since)
    return Machine(posting, plan, error, _spooled(), None if gateway is None else _passing(gateway))


def _plan(engine: Engine, now: datetime) -> list[Planned]:
    """The jobs of the settings, each with the instant that comes next."""
    from costmeter.reports.machine import Planned

    return [Planned(job.name, job.what, job.due(now) + job.every) for job in jobs_of(engine)]


def _spooled() -> Spooled | None:
    """The spool of this machine; None where nothing was ever recorded here."""
    from costmeter.recorder.lane import size
    from costmeter.recorder.leftovers import glance, losses
    from costmeter.reports.machine import Lane, Spooled

    folder = spool_folder()
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    lanes = [Lane(seen.state.process, seen.state.host, seen.is_alive, seen.bytes) for seen in glance(folder)]
    lost = sum(state.unkept for _, state in losses(folder))
    return Spooled(str(folder), size(folder), settings().spool_limit, free, lanes, lost)


def _passing(gateway: Gateway) -> Passing:
    from costmeter.reports.machine import Passing

    counts = gateway.counts
    return Passing(
        path=settings().gateway_mount or "",
        upstream=gateway.upstream,
        stops=gateway.stops,
        is_away=gateway.is_away,
        recorded=counts.recorded,
        waiting=counts.waiting,
        dropped=counts.dropped,
    )
