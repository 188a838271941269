"""The kinds of notices that have words of their own; any other is told in the general form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from costmeter.core import budget_notices, digest_notices, watch_notices
from costmeter.core.notices import DIGEST, TEST, Notice, Said

_WATCHED = (
    watch_notices.low_balance, watch_notices.expiring_grant, watch_notices.no_data, watch_notices.price_change,
    watch_notices.unpriced, watch_notices.quarantine, watch_notices.unmetered, watch_notices.difference,
    watch_notices.unposted, watch_notices.frozen, watch_notices.scheduler, watch_notices.job, watch_notices.calendar,
)  # fmt: skip


def of_a_test(notice: Notice) -> Said:
    """What `alerts test` sends."""
    text = "This is a test of this channel. Nothing has happened; alerts will come this way."
    return Said(
        f"Test of channel {notice.subject}", text, [("Channel", notice.subject)], "/alerts", "costmeter alerts list"
    )


KINDS: Mapping[str, Callable[[Notice], Said]] = {
    "budget": budget_notices.budget,
    "forecast": budget_notices.forecast,
    **{said.__name__: said for said in _WATCHED},
    DIGEST: digest_notices.digest,
    TEST: of_a_test,
}
