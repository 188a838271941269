"""What one call cost, and what it was paid from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from costmeter.simulator.credits import Split
from costmeter.simulator.instants import format_instant
from costmeter.simulator.money import format_amount
from costmeter.simulator.usage import Usage


@dataclass(frozen=True)
class Bill:
    """One completed call and its price."""

    call_id: str
    api_key: str  # a fingerprint, never the key
    model: str
    completed_at: datetime
    band: str
    usage: Usage
    cost: int
    aborted: bool  # the client left before it was complete
    fault: str | None  # what disturbed it
    label: str | None  # what its request calls it


@dataclass(frozen=True)
class PaidBill:
    """A bill and the credits it was taken from; the split adds up to the cost."""

    bill: Bill
    split: Split

    def as_json(self) -> dict[str, object]:
        """Everything needed to check the call by hand, amounts as exact decimal strings."""
        return {
            "id": self.bill.call_id,
            "api_key": self.bill.api_key,
            "model": self.bill.model,
            "completed_at": format_instant(self.bill.completed_at),
            "band": self.bill.band,
            "usage": self.bill.usage.as_json(),
            "cost": format_amount(self.bill.cost),
            "granted": format_amount(self.split.granted),
            "topped_up": format_amount(self.split.topped_up),
            "overdraft": format_amount(self.split.overdraft),
            "aborted": self.bill.aborted,
            "fault": self.bill.fault,
            "label": self.bill.label,
        }
