"""The kinds of notices that have words of their own; any other is told in the general form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from costmeter.core import budget_notices
from costmeter.core.notices import TEST, Notice, Said


def of_a_test(notice: Notice) -> Said:
    """What `alerts test` sends."""
    text = "This is a test of this channel. Nothing has happened; alerts will come this way."
    return Said(
        f"Test of channel {notice.subject}", text, [("Channel", notice.subject)], "/alerts", "costmeter alerts list"
    )


KINDS: Mapping[str, Callable[[Notice], Said]] = {
    "budget": budget_notices.budget,
    "forecast": budget_notices.forecast,
    TEST: of_a_test,
}
