"""Views for programs that read the books by SQL: spend, balances, budgets, and what is not counted.

Amounts are decimals of the currency, exact: NUMERIC on PostgreSQL; on SQLite, which has no such type, texts. An instant
is a TIMESTAMPTZ there and a text of RFC 3339 here. docs/reporting.md tells the columns.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

AMOUNTS = ("cost", "granted", "topped_up", "overdraft", "untracked", "cache_savings", "off_peak_savings")
COUNTS = (
    "calls", "unpriced", "provisional", "clock_doubts", "cache_hit_tokens", "cache_miss_tokens", "output_tokens",
    "reasoning_tokens",
)  # fmt: skip
VIEWS = ("report_spend_day", "report_spend_quarter", "report_balance", "report_budget", "report_uncounted")


def upgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    on = _on_postgres() if is_postgres else _on_sqlite()
    for name in VIEWS:
        op.execute(f"CREATE VIEW {name} AS {on[name]}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")


def _spend(table: str, grain: str, amounts: list[str]) -> str:
    """Each row of a rollup with what its account says of it, its amounts joined."""
    texts = ", ".join(f"nullif(spend.{name}, '') AS {name}" for name in ("project", "api_key", "model", "band"))
    counts = ", ".join(f"spend.{name}" for name in COUNTS)
    return (
        f"SELECT spend.account, account.currency, account.timezone, spend.billing_month, {grain}, {texts}, {counts}, "
        f"{', '.join(amounts)}, account.rolled_up = account.version AS is_current "
        f"FROM {table} AS spend JOIN account ON account.account = spend.account"
    )


def _uncounted(quarter: str) -> str:
    """Calls without usage that no later event replaced, calls that wait, and open items but for conflicts."""
    return (
        f"SELECT one.account, account.currency, account.timezone, {quarter} AS quarter_start, one.kind, "
        "count(*) AS calls FROM (SELECT event.account, event.completed_at, event.status AS kind "
        "FROM usage_event AS event WHERE event.cache_hit_tokens IS NULL AND NOT EXISTS (SELECT 1 "
        "FROM usage_event AS later WHERE later.account = event.account AND later.supersedes = event.event_key "
        "AND later.supersedes_at = event.completed_at) "
        "UNION ALL SELECT account, completed_at, 'unposted' FROM pending "
        "UNION ALL SELECT account, coalesce(completed_at, received_at), 'quarantined' FROM quarantine "
        "WHERE state = 'open' AND kind <> 'conflict') AS one LEFT JOIN account ON account.account = one.account "
        "GROUP BY 1, 2, 3, 4, 5"
    )


def _balance(has: str, columns: str) -> str:
    """The credits that count now, summed as `has` says, and what the account is told by `columns`."""
    return (
        f"SELECT account.account, account.currency, account.timezone, {columns}, "
        "account.frozen_at IS NOT NULL AS is_frozen FROM account "
        f"LEFT JOIN (SELECT credit.account, {has} FROM credit JOIN credit_balance "
        "ON credit_balance.account = credit.account AND credit_balance.credit_id = credit.credit_id "
        "WHERE {counts} AND NOT EXISTS (SELECT 1 FROM credit_void WHERE credit_void.account = credit.account "
        "AND credit_void.credit_id = credit.credit_id) GROUP BY credit.account) AS has "
        "ON has.account = account.account"
    )


def _budget(present: str, columns: str, now: str) -> str:
    """Each budget that counts now, with what is spent in the period of now; `present` makes when that began."""
    return (
        "SELECT budget.account, account.currency, budget.name AS budget, budget.unit, budget.per, budget.timezone, "
        f"budget.stops, {columns} FROM ({present}) AS budget JOIN account ON account.account = budget.account "
        "LEFT JOIN budget_period ON budget_period.account = budget.account AND budget_period.number = budget.number "
        "AND budget_period.starts_at = budget.period_start "
        f"WHERE budget.removed_at IS NULL AND budget.starts_at <= {now} "
        f"AND (budget.ends_at IS NULL OR budget.ends_at > {now})"
    )


def _on_postgres() -> dict[str, str]:
    unit = "0.000000000001"  # a product of numerics is exact, a quotient is not
    amounts = [f"(spend.{name}_high::numeric * 1000000000 + spend.{name}_low) * {unit} AS {name}" for name in AMOUNTS]
    has = ", ".join(
        f"coalesce(sum(remaining) FILTER (WHERE kind = '{kind}'), 0) * {unit} AS {kind}"
        for kind in ("granted", "topped_up")
    )
    owes = f"account.overdraft * {unit}"
    topped_up = f"coalesce(has.topped_up, 0) - {owes}"
    balance = _balance(
        has,
        f"coalesce(has.granted, 0.0) AS granted, {topped_up} AS topped_up, "
        f"coalesce(has.granted, 0) + {topped_up} AS total, {owes} AS overdraft, "
        f"coalesce(has.granted, 0) + {topped_up} > 0 AS is_available",
    )
    counts = "credit.effective_at <= now() AND (credit.expires_at IS NULL OR credit.expires_at > now())"
    scale = f"CASE WHEN budget.unit = 'tokens' THEN 1 ELSE {unit} END"
    spent, reserved = "coalesce(budget_period.spent, 0)", "coalesce(budget_period.reserved, 0)"
    columns = (
        f"budget.period_start, budget.amount * {scale} AS amount, {spent} * {scale} AS spent, "
        f"{reserved} * {scale} AS reserved"
    )
    quarter = "quarter_start"
    return {
        "report_spend_day": _spend("rollup_day", "spend.day::date AS day", amounts),
        "report_spend_quarter": _spend("rollup_quarter", f"to_timestamp(spend.quarter * 900) AS {quarter}", amounts),
        "report_balance": balance.format(counts=counts),
        "report_budget": _budget(_present_on_postgres(), columns, "now()"),
        "report_uncounted": _uncounted("date_bin('15 minutes', one.completed_at, timestamptz 'epoch')"),
    }


def _present_on_postgres() -> str:
    """When the period of now began: local midnights in the budget's zone, the first of two where clocks go back."""
    local, first = "(now() AT TIME ZONE timezone)", "(starts_at AT TIME ZONE timezone)"
    number = "substring(per FROM '^[0-9]+')::integer"
    midnight = (
        f"CASE WHEN per ~ '^[0-9]+d$' THEN date_bin(make_interval(days => {number}), date_trunc('day', {local}), "
        f"date_trunc('day', {first})) WHEN per IN ('day', 'week', 'month', 'quarter', 'year') "
        f"THEN date_trunc(per, {local}) END"
    )
    hours = f"CASE WHEN per ~ '^[0-9]+h$' THEN date_bin(make_interval(hours => {number}), now(), starts_at) END"
    instant = "(natural_midnight AT TIME ZONE timezone)"
    earlier = f"({instant} - interval '1 hour')"
    return (
        f"SELECT *, greatest(starts_at, coalesce(CASE WHEN {earlier} AT TIME ZONE timezone = natural_midnight "
        f"THEN {earlier} ELSE {instant} END, natural_hour, starts_at)) AS period_start "
        f"FROM (SELECT *, {midnight} AS natural_midnight, {hours} AS natural_hour FROM budget) AS begun"
    )


BILLION = 1_000_000_000
_NOW = "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000)"


def _on_sqlite() -> dict[str, str]:
    amounts = [f"{_joined(f'spend.{name}_high', f'spend.{name}_low')} AS {name}" for name in AMOUNTS]
    has = ", ".join(
        f"sum(CASE WHEN kind = '{kind}' THEN remaining {operation} {BILLION} ELSE 0 END) AS {kind}_{half}"
        for kind in ("granted", "topped_up")
        for half, operation in (("high", "/"), ("low", "%"))
    )
    digits = "'000000000' || account.overdraft"  # a text of any length, never negative
    owes = [
        f"CAST(substr({digits}, 1, length({digits}) - 9) AS INTEGER)",
        f"CAST(substr({digits}, -9) AS INTEGER)",
    ]
    granted = [f"coalesce(has.granted_{half}, 0)" for half in ("high", "low")]
    topped_up = [
        f"(coalesce(has.topped_up_{half}, 0) - {owed})" for half, owed in zip(("high", "low"), owes, strict=True)
    ]
    total = [f"({one} + {other})" for one, other in zip(granted, topped_up, strict=True)]
    high, low = _carried(*total)
    balance = _balance(
        has,
        f"{_joined(*granted)} AS granted, {_joined(*topped_up)} AS topped_up, {_joined(*total)} AS total, "
        f"{_joined(*owes)} AS overdraft, ({high} > 0 OR ({high} = 0 AND {low} > 0)) AS is_available",
    )
    counts = f"credit.effective_at <= {_NOW} AND (credit.expires_at IS NULL OR credit.expires_at > {_NOW})"
    return {
        "report_spend_day": _spend("rollup_day", "spend.day", amounts),
        "report_spend_quarter": _spend("rollup_quarter", f"{_text('spend.quarter * 900')} AS quarter_start", amounts),
        "report_balance": balance.format(counts=counts),
        "report_budget": _budget(_present_on_sqlite(), _of_budget_on_sqlite(), _NOW),
        "report_uncounted": _uncounted(
            _text(f"(one.completed_at - ({_floored('one.completed_at', 900_000_000)})) / 1000000")
        ),
    }


def _of_budget_on_sqlite() -> str:
    """Its amounts; NULL where the beginning of its period is not known."""
    spent = "coalesce(budget_period.spent, '0')"
    reserved = "CAST(coalesce(budget_period.reserved, 0) AS TEXT)"
    known = "CASE WHEN budget.period_start IS NOT NULL THEN"
    return (
        f"{_text('budget.period_start / 1000000')} AS period_start, {_limit('budget.amount')} AS amount, "
        f"{known} {_limit(spent)} END AS spent, {known} {_limit(reserved)} END AS reserved"
    )


def _present_on_sqlite() -> str:
    """When the period of now began. SQLite knows UTC alone: NULL where another zone's midnight decides."""
    seconds = "CAST(strftime('%s', {}) AS INTEGER) * 1000000"
    third = "'-' || ((strftime('%m', 'now') - 1) % 3) || ' months'"
    days = {
        "day": "date('now')",
        "week": "date('now', '-6 days', 'weekday 1')",
        "month": "date('now', 'start of month')",
        "quarter": f"date('now', 'start of month', {third})",
        "year": "date('now', 'start of year')",
    }
    calendar = " ".join(f"WHEN per = '{per}' THEN {seconds.format(day)}" for per, day in days.items())
    number, first = "CAST(per AS INTEGER)", "date(starts_at / 1000000, 'unixepoch')"
    passed = f"CAST(julianday(date('now')) - julianday({first}) AS INTEGER)"
    own_days = seconds.format(f"date({first}, '+' || ({passed} / {number} * {number}) || ' days')")
    length = f"({number} * 3600000000)"
    return (
        f"SELECT *, max(starts_at, CASE WHEN per = 'all' THEN starts_at WHEN per GLOB '[0-9]*h' "
        f"THEN starts_at + ({_NOW} - starts_at) / {length} * {length} WHEN timezone <> 'UTC' THEN NULL {calendar} "
        f"ELSE {own_days} END) AS period_start FROM budget"
    )


def _text(seconds: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%SZ', {seconds}, 'unixepoch')"


def _floored(value: str, divisor: int) -> str:
    """The remainder of a division that rounds down, which SQLite's does not."""
    return f"(({value}) % {divisor} + {divisor}) % {divisor}"


def _carried(high: str, low: str) -> tuple[str, str]:
    """The same halves with 0 <= low < 10^9."""
    rest = f"({_floored(low, BILLION)})"
    return f"({high} + ({low} - {rest}) / {BILLION})", rest


def _joined(high: str, low: str) -> str:
    """An amount of two halves as a text with all twelve decimals, without a number that passes 64 bits."""
    whole, rest = _carried(high, low)
    borrows = f"({whole} < 0 AND {rest} > 0)"
    above = f"(CASE WHEN {borrows} THEN -{whole} - 1 ELSE abs({whole}) END)"
    below = f"(CASE WHEN {borrows} THEN {BILLION} - {rest} ELSE {rest} END)"
    return (
        f"printf('%s%d.%03d%09d', CASE WHEN {whole} < 0 THEN '-' ELSE '' END, {above} / 1000, {above} % 1000, {below})"
    )


def _limit(text: str) -> str:
    """Units written as a text of any length, as tokens or as an amount with all twelve decimals."""
    digits = f"ltrim({text}, '-')"
    sign = f"CASE WHEN {text} LIKE '-%' THEN '-' ELSE '' END"
    padded = f"(substr('0000000000000', 1, max(13 - length({digits}), 0)) || {digits})"
    amount = f"{sign} || substr({padded}, 1, length({padded}) - 12) || '.' || substr({padded}, -12)"
    return f"CASE WHEN budget.unit = 'tokens' THEN {text} ELSE {amount} END"
