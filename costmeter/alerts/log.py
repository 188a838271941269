"""The channel where nothing else is configured: a line in the log."""

from __future__ import annotations

import logging

from costmeter.core.notices import RAISED, Message, one_line

log = logging.getLogger("costmeter.alerts")


class LogChannel:
    """Tells by a line in the log of this process: a warning for what is raised, else news."""

    kind = "log"

    def __init__(self, name: str) -> None:
        self.name = name

    def send(self, message: Message) -> None:
        """Always accepted."""
        level = logging.WARNING if message.event == RAISED else logging.INFO
        extra = {"notice": message.notice_id, "kind": message.kind, "event_of": message.event}
        log.log(level, "%s: %s", message.title, one_line(message.text), extra=extra)
