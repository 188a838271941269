"""GET /user/balance: the vendor's shape, in two decimals."""

from __future__ import annotations

import httpx2
import pytest

from costmeter.simulator import Simulator, SimulatorClock
from costmeter.simulator.money import parse_amount, round_amount


def balance_of(simulator: Simulator) -> dict[str, object]:
    body: dict[str, object] = httpx2.get(
        f"{simulator.base_url}/user/balance", headers={"authorization": "Bearer sk-test"}
    ).json()
    return body


def test_the_balance_has_the_shape_of_the_vendor(clock: SimulatorClock) -> None:
    with Simulator(clock, currency="CNY", granted="10", topped_up="99.995") as simulator:
        assert balance_of(simulator) == {
            "is_available": True,
            "balance_infos": [
                {
                    "currency": "CNY",
                    "total_balance": "110.00",
                    "granted_balance": "10.00",
                    "topped_up_balance": "100.00",
                }
            ],
        }


def test_an_empty_account_is_not_available(clock: SimulatorClock) -> None:
    with Simulator(clock, topped_up="0") as simulator:
        assert balance_of(simulator)["is_available"] is False


@pytest.mark.parametrize(
    ("exact", "rounded"),
    [("0", "0.00"), ("0.004999999999", "0.00"), ("0.005", "0.01"), ("1.994999999999", "1.99"), ("1.995", "2.00")],
)
def test_half_a_cent_is_rounded_away_from_zero_and_a_debt_keeps_its_sign(exact: str, rounded: str) -> None:
    units = parse_amount(exact, "amount")

    assert round_amount(units) == rounded
    assert units == 0 or round_amount(-units) == f"-{rounded}"
