"""Credit, purchase and adjustment rows of FOCUS: what granted balance paid, what was topped up, what was put right."""

from __future__ import annotations

from decimal import Decimal

from costmeter.core.ledger import ADJUSTMENT, FUNDING, GRANTED, OPENING, TOPPED_UP
from costmeter.core.money import UNITS
from costmeter.exports.focus_format import Cells, Mode, charge_class
from costmeter.exports.movements import Movement

# The movements of funded topped-up balance that are purchases. What an account was opened with was bought before.
PURCHASES = {"credit": "Top-up", "void": "Top-up taken back"}
_COSTS = ("ListCost", "ContractedCost", "BilledCost", "EffectiveCost")


def credit_cells(granted: int, adjusts: str | None, mode: Mode) -> Cells:
    """What granted balance paid on a day, at the account: it pays charges as a whole, not meter by meter.

    FOCUS 1.4 wants the effective cost of a credit to equal its billed cost (CAU-EffectiveCost-C-017). Prepaid usage is
    billed 0, so there its credit is 0 in both, and x_GrantedCost alone says what it would be.
    """
    return {
        "ChargeCategory": "Credit",
        **charge_class(adjusts),
        "ChargeDescription": "Usage paid from granted balance",
        "ChargeFrequency": "One-Time",
        **dict.fromkeys(_COSTS, -granted if mode is Mode.ACCRUAL else 0),
        "x_GrantedCost": -granted,
    }


def is_purchase(movement: Movement) -> bool:
    """Whether balance was bought, or bought balance taken back."""
    lines = movement.lines
    return movement.kind in PURCHASES and {TOPPED_UP, FUNDING} <= lines.keys() and movement.origin != OPENING


def is_adjustment(movement: Movement) -> bool:
    """Whether somebody put the paid balance right; of granted balance only what it pays is a cost."""
    return ADJUSTMENT in movement.lines and GRANTED not in movement.lines


def adjustment_cells(movement: Movement, mode: Mode) -> Cells:
    """A correction of the paid balance: what it takes is a cost that no recorded call tells of."""
    amount = movement.lines[ADJUSTMENT]
    return {
        "ChargeCategory": "Adjustment",
        **charge_class(movement.adjusts),
        "ChargeDescription": "Correction of the balance",
        "ChargeFrequency": "One-Time",
        **dict.fromkeys(_COSTS, amount if mode is Mode.ACCRUAL else 0),
        "EffectiveCost": amount,
    }


def purchase_cells(movement: Movement) -> Cells:
    """A top-up: as many units of the currency at 1 each. Its cost is recognised in the usage that draws it down."""
    amount, currency = movement.lines[TOPPED_UP], movement.account.currency
    return {
        "ChargeCategory": "Purchase",
        **charge_class(movement.adjusts),
        "ChargeDescription": f"{PURCHASES[movement.kind]}: {movement.credit}",
        "ChargeFrequency": "One-Time",
        "SkuId": "deepseek:balance",
        "SkuMeter": "Balance",
        "SkuPriceId": f"deepseek:balance:{currency}",
        "PricingCategory": "Standard",
        "PricingQuantity": Decimal(amount) / UNITS,
        "PricingUnit": currency,
        "ListUnitPrice": Decimal(1),
        "ContractedUnitPrice": Decimal(1),
        **dict.fromkeys(_COSTS, amount),
        "EffectiveCost": 0,
        "x_Credit": movement.credit,
    }
