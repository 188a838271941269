"""What an account may spend, and in which order it is spent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from costmeter.simulator.money import format_amount

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Split:
    """Where one charge was taken from; the three parts add up to it."""

    granted: int
    topped_up: int
    overdraft: int


@dataclass
class Credit:
    """An amount that was given or paid for, and what is left of it."""

    left: int
    expires_at: datetime = NEVER

    def take(self, wanted: int) -> int:
        """Takes as much as there is, at most what is wanted."""
        taken = min(wanted, self.left)
        self.left -= taken
        return taken


@dataclass(frozen=True)
class Balance:
    """Units of 10^-12; the topped-up balance is negative while the account is overdrawn."""

    granted: int
    topped_up: int

    @property
    def total(self) -> int:
        return self.granted + self.topped_up

    def as_json(self) -> dict[str, str]:
        """Exact decimal strings."""
        return {
            "granted_balance": format_amount(self.granted),
            "topped_up_balance": format_amount(self.topped_up),
            "total_balance": format_amount(self.total),
        }


class Credits:
    """Granted credits go first, by earliest expiry; then topped-up ones, oldest first; the rest is overdraft.

    "...with a preference for using the granted balance first when both balances are available" (DeepSeek's
    deduction rules). The vendor lets a call in flight finish, so the balance can fall below zero.
    """

    def __init__(self) -> None:
        self._grants: list[Credit] = []
        self._top_ups: list[Credit] = []
        self._overdraft = 0

    def grant(self, amount: int, expires_at: datetime | None) -> None:
        """A grant never repays an overdraft; it can be spent until the instant at which it expires."""
        self._grants.append(Credit(amount, expires_at or NEVER))
        self._grants.sort(key=lambda credit: credit.expires_at)  # A stable sort: those of one expiry stay oldest first.

    def top_up(self, amount: int) -> None:
        """A top-up repays the overdraft first; only what is left of it can be spent."""
        repaid = min(amount, self._overdraft)
        self._overdraft -= repaid
        self._top_ups.append(Credit(amount - repaid))

    def spend(self, amount: int, at: datetime) -> Split:
        """Takes a charge from what was there at that instant."""
        granted = _take_in_turn(self._live_grants(at), amount)
        topped_up = _take_in_turn(self._top_ups, amount - granted)
        overdraft = amount - granted - topped_up
        self._overdraft += overdraft
        return Split(granted, topped_up, overdraft)

    def balance(self, at: datetime) -> Balance:
        """What could be spent at that instant, and what is owed."""
        granted = sum(credit.left for credit in self._live_grants(at))
        return Balance(granted, sum(credit.left for credit in self._top_ups) - self._overdraft)

    def _live_grants(self, at: datetime) -> list[Credit]:
        return [credit for credit in self._grants if at < credit.expires_at]


def _take_in_turn(available: list[Credit], wanted: int) -> int:
    taken = 0
    for credit in available:
        taken += credit.take(wanted - taken)
    return taken
