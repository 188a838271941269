"""Webhooks as Standard Webhooks has them: signed, time-stamped, and known by one id however often they come.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from costmeter import __version__
from costmeter.alerts.installed import need
from costmeter.core.errors import RefusedError, UnreachableError
from costmeter.core.notices import Message
from costmeter.core.periods import format_instant

if TYPE_CHECKING:
    import httpx2

SECONDS = 15.0  # for the whole of an attempt, as the specification advises
GONE = 410
_LONGEST_PAUSE = timedelta(days=365)


class WebhookChannel:
    """POSTs a message as JSON; any 2xx accepts it, 410 ends it, redirects are not followed.

    `secret` is the base64 text of `whsec_...`. Neither it nor the path of the URL is in any error.
    """

    kind = "webhook"

    def __init__(
        self,
        name: str,
        url: str,
        secret: str,
        *,
        seconds: float = SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        need("webhook", "httpx2", "standardwebhooks")
        import httpx2
        from standardwebhooks import Webhook

        self.name = name
        self._url, self._signer, self._seconds, self._now = httpx2.URL(url), Webhook(secret), seconds, now
        self._where = self._url.netloc.decode().rpartition("@")[2]

    def send(self, message: Message) -> None:
        """Returns once the receiver has answered 2xx."""
        body, now = body_of(message), self._now().replace(microsecond=0)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"costmeter/{__version__}",
            "webhook-id": message.notice_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message.notice_id, now, body),
        }
        self._judge(asyncio.run(self._post(body, headers)))

    async def _post(self, body: str, headers: dict[str, str]) -> httpx2.Response:
        """The head of the answer: what follows it does not matter."""
        import httpx2

        try:
            async with (
                asyncio.timeout(self._seconds),
                httpx2.AsyncClient(timeout=self._seconds, follow_redirects=False) as client,
                client.stream("POST", self._url, content=body.encode(), headers=headers) as answer,
            ):
                return answer
        except (TimeoutError, httpx2.TimeoutException):
            raise UnreachableError(f"{self._where} did not answer within {self._seconds:g} s") from None
        except (httpx2.HTTPError, OSError) as error:
            raise UnreachableError(f"{self._where} cannot be reached: {type(error).__name__}") from None

    def _judge(self, answer: httpx2.Response) -> None:
        if answer.is_success:
            return
        if answer.status_code == GONE:
            raise RefusedError(f"{self._where} answers 410: it is gone for good; take the channel out of its file")
        pause = _asked_for(answer.headers.get("retry-after"), self._now())
        raise UnreachableError(f"{self._where} answers {answer.status_code}", pause=pause)


def body_of(message: Message) -> str:
    """The body of a message: the same to the byte at every attempt."""
    data = {
        "account": message.account or None,
        "kind": message.kind,
        "event": message.event,
        "title": message.title,
        "text": message.text,
        "lines": [{"name": name, "value": value} for name, value in message.lines],
        "tables": [table._asdict() for table in message.tables],
        "url": message.url,
        "facts": message.facts,
    }
    whole = {
        "id": message.notice_id,
        "type": f"{message.kind}.{message.event}",
        "timestamp": format_instant(message.created_at),
        "data": data,
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _asked_for(retry_after: str | None, now: datetime) -> timedelta | None:
    """The pause of a Retry-After (RFC 9110, 10.2.3): seconds, or an instant; None where it is neither."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(timedelta(seconds=int(retry_after[:9])), _LONGEST_PAUSE)
    try:
        pause = parsedate_to_datetime(retry_after).astimezone(UTC) - now
    except ValueError:
        return None
    return max(pause, timedelta())
