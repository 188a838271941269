"""Slack, Teams, Discord, Telegram and the many others, by apprise: https://github.com/caronc/apprise/wiki"""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any

from costmeter.alerts.installed import need
from costmeter.core.errors import InputError, UnreachableError
from costmeter.core.notices import RAISED, RECOVERED, Message, as_text

SECONDS = 20.0  # for the whole of an attempt
_STATUS = re.compile(r"\berror=(\d{3})\b")


class ChatChannel:
    """Tells through the one service of an apprise URL.

    The URL holds tokens and apprise's own words may, so that of what went wrong only the service's name and its HTTP
    status are told.
    """

    kind = "apprise"

    def __init__(self, name: str, url: str, *, seconds: float = SECONDS) -> None:
        need("apprise", "apprise")
        import apprise

        apprises = logging.getLogger("apprise")
        apprises.propagate = False  # what it has to say is in its result, and is told from there
        if not apprises.handlers:
            apprises.addHandler(logging.NullHandler())
        self.name = name
        asset = apprise.AppriseAsset(app_id="costmeter", http_redirects=False, service_timeout=seconds)
        self._apprise = apprise.Apprise(asset=asset)
        with warnings.catch_warnings():  # its plug-ins are imported now, and with them what Python is about to drop
            warnings.simplefilter("ignore")
            is_known = self._apprise.add(url)
        if not is_known or len(self._apprise) != 1:
            raise InputError(
                "url", None, "is no URL of apprise, such as slack://... or tgram://...; see docs/alerts.md"
            )

    def send(self, message: Message) -> None:
        """Returns once the service has accepted it."""
        from apprise import NotifyFormat, NotifyType

        kinds = {RAISED: NotifyType.WARNING, RECOVERED: NotifyType.SUCCESS}
        result = self._apprise.notify(
            body=as_text(message),
            title=message.title,
            notify_type=kinds.get(message.event, NotifyType.INFO),
            body_format=NotifyFormat.TEXT,
        )
        if not result:
            raise UnreachableError(_failure(result))


def _failure(result: Any) -> str:
    """What went wrong, without anything of the URL."""
    (service,) = [*result] or [None]
    name = service.name if service is not None else "the service"
    status = _STATUS.search(" ".join(entry.message for entry in service.logs())) if service is not None else None
    return f"{name} answers {status.group(1)}" if status else f"{name} did not accept it: {result.status.name.lower()}"
