"""What notices of budgets say: a threshold crossed by what is spent, or by what is forecast, and fallen below again."""

from __future__ import annotations

from typing import Any

from costmeter.core.budgets import TOKENS
from costmeter.core.notices import RECOVERED, Notice, Said, exact, in_url, money, share, units_of, when

_CALENDAR = ("day", "week", "month", "quarter", "year")
_UNITS = {"d": "days", "h": "hours"}


def budget(notice: Notice) -> Said:
    """What is spent of a budget passed one of its thresholds, or fell below it as charges were corrected."""
    facts = notice.facts
    name, unit = facts["budget"], facts["unit"]
    spent, limit = money(facts["spent"], unit), money(facts["amount"], unit)
    part = _share(facts["spent"], facts["amount"], unit)
    threshold = _threshold(facts["threshold"], unit)
    if notice.event == RECOVERED:
        title = f"Budget {name}: below {threshold} again, {part} spent"
        text = f"{_whose(notice)} come to {exact(facts['spent'], unit)} {_since(facts)}, which is below {threshold} of "
        text += f"the {limit} {_of_period(facts)} again."
    else:
        over = ", in a period that is over" if facts["is_late"] else ""
        title = f"Budget {name}: {part} spent, {spent} of {limit}{over}"
        verb = "used" if unit == TOKENS else "cost"
        text = f"{_whose(notice)} have {verb} {spent} {_since(facts)}: {part} of the {limit} {_of_period(facts)}."
        text += _consequences(facts)
    return Said(title, text, _lines(notice, threshold), *_where(notice))


def forecast(notice: Notice) -> Said:
    """What will probably be spent of a budget by the end of its period passed a threshold."""
    facts = notice.facts
    name, unit = facts["budget"], facts["unit"]
    limit, expected = money(facts["amount"], unit), money(facts["forecast"], unit)
    span = f"{money(facts['low'], unit)} and {money(facts['high'], unit)}"
    threshold = _threshold(facts["threshold"].removeprefix("forecast "), unit)
    if notice.event == RECOVERED:
        title = f"Budget {name}: forecast below {threshold} again"
        text = f"{_whose(notice)} will probably come to {expected} (between {span}) {_by_end(facts)}, "
        text += f"which is below {threshold} of the {limit} {_of_period(facts)} again."
    else:
        title = f"Budget {name}: forecast {expected} of {limit}"
        text = f"{_whose(notice)} will probably come to {expected} (between {span}) {_by_end(facts)}: "
        text += f"{_share(facts['forecast'], facts['amount'], unit)} of the {limit} {_of_period(facts)}."
    lines = [("Forecast", f"{expected}, between {span}"), *_lines(notice, f"forecast {threshold}")]
    return Said(title, text, lines, *_where(notice))


def _lines(notice: Notice, threshold: str) -> list[tuple[str, str]]:
    facts = notice.facts
    unit = facts["unit"]
    spent = f"{exact(facts['spent'], unit)} of {exact(facts['amount'], unit)}"
    lines = [("Spent", f"{spent} ({_share(facts['spent'], facts['amount'], unit)})"), ("Threshold", threshold)]
    lines.append(("Period", _period(facts)))
    lines += [("Counts", _filters(facts))] * bool(facts["filters"])
    return [*lines, ("Account", notice.account)]


def _whose(notice: Notice) -> str:
    counted = _filters(notice.facts)
    return f"Calls of {counted or f'account {notice.account}'}"


def _filters(facts: Any) -> str:
    return ", ".join(
        f"{name.removeprefix('tag:').replace('_', ' ')} {value}" for name, value in facts["filters"].items()
    )


def _since(facts: Any) -> str:
    return f"since {when(facts['from'], facts['timezone'])}" if facts["from"] else "so far"


def _by_end(facts: Any) -> str:
    return f"by {when(facts['to'], facts['timezone'])}" if facts["to"] else "in the end"


def _of_period(facts: Any) -> str:
    per = facts["per"]
    if per in _CALENDAR:
        return f"of this {per}"
    return "in all" if per == "all" else f"of these {per[:-1]} {_UNITS[per[-1]]}"


def _period(facts: Any) -> str:
    edges = [when(facts[edge], facts["timezone"]) if facts[edge] else "" for edge in ("from", "to")]
    start = edges[0].removesuffix(f" ({facts['timezone']})") if all(edges) else edges[0]
    return f"{start} to {edges[1] or 'no end'}"


def _consequences(facts: Any) -> str:
    late = " That period is over: calls came late, and only now crossed this threshold." if facts["is_late"] else ""
    stops = " What is not covered is refused from now on." if facts.get("stops") and _is_used_up(facts) else ""
    return late + (stops if not late else "")


def _is_used_up(facts: Any) -> bool:
    return units_of(facts["spent"], facts["unit"]) >= units_of(facts["amount"], facts["unit"])


def _threshold(text: str, unit: str) -> str:
    return text if text.endswith("%") else money(text, unit)


def _share(part: object, whole: object, unit: str) -> str:
    return share(units_of(part, unit), units_of(whole, unit))


def _where(notice: Notice) -> tuple[str, str]:
    path = f"/budgets/{in_url(notice.facts['budget'])}?account={in_url(notice.account)}"
    return path, f"costmeter budget list --account {notice.account}"
