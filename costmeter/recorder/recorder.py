"""What decides whether a request is a call, and begins its record."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from costmeter.recorder.attribution import Attribution, current_attribution, key_fingerprint
from costmeter.recorder.call import Call, Headers
from costmeter.recorder.clock import Clock
from costmeter.recorder.record import read_request
from costmeter.recorder.spool import Spool

logger = logging.getLogger("costmeter.recorder")

METERED_PATHS = (b"/chat/completions", b"/completions", b"/responses", b"/messages")


@dataclass(frozen=True, slots=True)
class Recorder:
    """What all calls through one door share."""

    attribution: Attribution
    clock: Clock
    spool: Spool

    def begin(self, content: bytes | None, headers: Headers) -> Call | None:
        """A call that is about to be sent; None, and a line in the log, where the recorder itself fails."""
        try:
            said = current_attribution().over(self.attribution)
            if said.api_key is None:
                key = key_fingerprint(headers.get(b"authorization"), headers.get(b"x-api-key"))
                said = Attribution(api_key=key).over(said)
            attempt = headers.get(b"x-stainless-retry-count")
            return Call(said, read_request(content), attempt=attempt, clock=self.clock, spool=self.spool)
        except Exception:
            logger.exception("a call could not be recorded")
            return None


def is_metered(method: str, target: bytes) -> bool:
    """Whether a request is one that DeepSeek bills by tokens."""
    return method == "POST" and target.partition(b"?")[0].endswith(METERED_PATHS)
