"""How fast callers call, in this process: those who are too fast are told when to come again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from costmeter.core.rate_limits import NO_LIMITS, Traffic
from costmeter.gateway.callers import Caller
from costmeter.gateway.refusals import RefusedCallError

KEPT = 10_000  # callers whose calls are remembered: anybody can make up keys
_UNCOUNTED = nullcontext()  # what nearly every call needs


class Rates:
    """The calls of each caller, against the caller's limits."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._traffic: OrderedDict[str | None, Traffic] = OrderedDict()  # whoever called last is last

    def counted(self, caller: Caller) -> AbstractContextManager[None]:
        """Counts a call for as long as it lasts; RefusedCallError where it would be one too many."""
        return _UNCOUNTED if caller.limits == NO_LIMITS else self._counted(caller)

    @contextmanager
    def _counted(self, caller: Caller) -> Iterator[None]:
        traffic = self._of(caller.limited_as)
        excess = traffic.begin(caller.limits, self._monotonic())
        if excess is not None:
            said = f"this key may make {excess.said}; try again in {excess.seconds} s"
            headers = [(b"retry-after", b"%d" % excess.seconds)]
            raise RefusedCallError(429, "rate_limited", f"too many calls: {said}", headers)
        try:
            yield
        finally:
            traffic.end()

    def _of(self, name: str | None) -> Traffic:
        traffic = self._traffic.get(name)
        if traffic is None:
            if len(self._traffic) >= KEPT:
                self._forget_one()
            traffic = self._traffic[name] = Traffic()
        self._traffic.move_to_end(name)
        return traffic

    def _forget_one(self) -> None:
        """Whoever has not called for the longest, and has no call on its way."""
        for name, traffic in self._traffic.items():
            if not traffic.under_way:
                del self._traffic[name]
                return
