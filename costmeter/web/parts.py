"""Every page, in the order in which their routes are tried."""

from __future__ import annotations

from costmeter.web import (
    alert_changes,
    alerts,
    balance,
    budget_changes,
    budgets,
    call,
    calls,
    closing,
    credit_forms,
    explore,
    exports,
    files,
    live,
    overview,
    prices,
    sign_in,
    statements,
)

PARTS = (
    overview,
    explore,
    calls,
    call,
    balance,
    credit_forms,
    exports,
    closing,
    statements,
    budgets,
    budget_changes,
    alerts,
    alert_changes,
    prices,
    live,
    sign_in,
    files,
)
