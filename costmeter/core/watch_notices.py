"""What notices say of what is watched by the clock: balances, grants, silence, prices, and what cannot be counted."""

from __future__ import annotations

from costmeter.core.notices import RECOVERED, Notice, Said, Table, counted, exact, in_url, money, when

_UTC = "UTC"
_METERS = {"input.cache_hit": "cache hit", "input.cache_miss": "cache miss"}


def low_balance(notice: Notice) -> Said:
    """A balance is below an amount or a number of days, or overdrawn; or has recovered."""
    facts = notice.facts
    unit, balance = facts["currency"], money(facts["balance"], facts["currency"])
    lines = [("Balance", exact(facts["balance"], unit)), ("Granted", exact(facts["granted"], unit))]
    lines.append(("Topped up", exact(facts["topped_up"], unit)))
    if notice.event == RECOVERED:
        return _of_account(notice, f"balance is {balance} again", f"The balance is {balance}.", lines)
    said = f"balance is {balance}"
    text = f"What is left is {balance}: granted {money(facts['granted'], unit)}, "
    text += f"topped up {money(facts['topped_up'], unit)}."
    if facts.get("days_left") is not None:
        said += f", {facts['days_left']} days at the present pace"
        text += f" At the mean of the last {facts['of_days']} days it lasts {facts['days_left']} days more."
        spent = f"{exact(facts['spent'], unit)} in {facts['of_days']} days"
        lines += [("Spent lately", spent), ("Days left", str(facts["days_left"]))]
    if facts["balance"].startswith("-"):
        said, text = f"overdrawn by {balance.removeprefix('-')}", f"{text} The account is overdrawn: top it up."
    return _of_account(notice, said, text, lines)


def expiring_grant(notice: Notice) -> Said:
    """What is left of a grant expires soon; or it is over."""
    facts = notice.facts
    left, at = money(facts["left"], facts["currency"]), when(facts["expires_at"], _UTC)
    lines = [("Left", exact(facts["left"], facts["currency"])), ("Expires", at)]
    lines += [("Reference", str(facts["reference"]))] * bool(facts["reference"])
    if notice.event == RECOVERED:
        return _of_account(notice, "a grant expires no more", "The grant is used up, void, or past.", lines)
    text = f"{left} of a grant expires at {at}. What is not spent by then is lost."
    return _of_account(notice, f"{left} of a grant expires at {at}", text, lines)


def no_data(notice: Notice) -> Said:
    """No call came for hours, where calls came each day; or they come again."""
    last = when(notice.facts["last_call"], _UTC)
    lines = [("Last call", last)]
    if notice.event == RECOVERED:
        return _of_account(notice, "calls come again", f"Calls come again, the last at {last}.", lines)
    text = f"The last call came at {last}, and there were some on each day before. Is what records them still running?"
    return _of_account(notice, f"no call since {last}", text, lines)


def price_change(notice: Notice) -> Said:
    """A tariff begins or ends for models that the account used lately."""
    facts = notice.facts
    models, at = ", ".join(facts["models"]), when(facts["from"], _UTC)
    lines = [("Models", models), ("From", at)]
    lines += [("Tariff until then", str(facts["before"]))] * bool(facts["before"])
    lines += [("Tariff from then on", str(facts["after"]))] * bool(facts["after"])
    if notice.event == RECOVERED:
        return _of_account(notice, f"new prices of {models}", f"The prices of {models} have changed.", lines)
    rows = [
        [f"{_METERS.get(one['meter'], one['meter'])}, {one['band']}", one["old"] or "none", one["new"] or "none"]
        for one in facts["rates"]
    ]
    caption = f"Prices in {facts['currency']}, per {facts['rates'][0]['per']:,}" if rows else ""
    tables = [Table(caption, ("meter, band", "old", "new"), rows)] if rows else []
    text = f"The prices of {models} change at {at}."
    if not facts["after"]:
        text = f"The price book has no price of {models} from {at} on: calls will be unpriced."
    account, path = notice.account, "/prices"
    return Said(
        f"Account {account}: new prices of {models} from {at}", text, lines, path, "costmeter prices list", tables
    )


def unpriced(notice: Notice) -> Said:
    """Calls of models that the price book has no price of."""
    facts = notice.facts
    calls, models = counted(facts["calls"], "call"), ", ".join(facts["models"])
    if notice.event == RECOVERED:
        return _of_account(notice, "no unpriced calls any more", "All calls have a price again.", [])
    text = (
        f"The price book has no price for {calls} of {models} since {facts['since']}. They count in no cost until it "
    )
    text += "has one: see costmeter reprice."
    lines = [("Calls", f"{facts['calls']:,}"), ("Models", models), ("Since", str(facts["since"]))]
    return _of_account(notice, f"{calls} without a price", text, lines)


def quarantine(notice: Notice) -> Said:
    """What could not be used waits for somebody to decide."""
    facts = notice.facts
    if notice.event == RECOVERED:
        return _plain(notice, "nothing in quarantine any more", "Nothing waits in quarantine any more.", [])
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in facts["kinds"].items())
    since = when(facts["since"], _UTC)
    items = counted(facts["items"], "record")
    text = f"What could not be used waits in quarantine: {items} ({kinds}), the first since {since}. That counts "
    text += "nowhere until somebody decides."
    lines = [("Open", f"{facts['items']:,}"), ("Kinds", kinds), ("Since", since)]
    said = _plain(notice, f"{items} in quarantine", text, lines)
    return said._replace(path="/quarantine", command="costmeter quarantine list")


def unmetered(notice: Notice) -> Said:
    """Too many calls whose usage nobody saw."""
    facts = notice.facts
    part = f"{facts['calls']:,} of {facts['of_calls']:,} calls ({facts['percent']} %)"
    lines = [("Unmetered in 24 hours", part)]
    if notice.event == RECOVERED:
        return _of_account(notice, "few unmetered calls again", f"{part} of the last 24 hours are unmetered.", lines)
    text = f"{part} of the last 24 hours were served without usage that could be read: cut off, or left early. What "
    text += "they cost is not in any figure."
    return _of_account(notice, f"{part} unmetered", text, lines)


def difference(notice: Notice) -> Said:
    """DeepSeek's balance and ours differ."""
    facts = notice.facts
    if notice.event == RECOVERED:
        return _of_account(notice, "no open difference to DeepSeek any more", "No difference is open any more.", [])
    unit, at = facts["currency"], when(facts["observed_at"], _UTC)
    amount = money(facts["difference"].removeprefix("-"), unit)
    less = "less" if facts["difference"].startswith("-") else "more"
    lines = [("Difference", exact(facts["difference"], unit)), ("Granted", exact(facts["granted"], unit))]
    lines += [("Topped up", exact(facts["topped_up"], unit)), ("Observed", at)]
    lines.append(("Open differences", f"{facts['differences']:,}"))
    text = f"DeepSeek said at {at} that there is {amount} {less} than the ledger expected then."
    said = _of_account(notice, f"{amount} {less} at DeepSeek than in the ledger", text, lines)
    return said._replace(command=f"costmeter reconcile show {facts['observation']} --account {notice.account}")


def unposted(notice: Notice) -> Said:
    """Calls wait too long for their charge."""
    facts = notice.facts
    if notice.event == RECOVERED:
        return _of_account(notice, "calls are posted again", "No call waits too long any more.", [])
    since = when(facts["since"], _UTC)
    calls = counted(facts["calls"], "call")
    text = f"Recorded and not charged yet: {calls}, the first since {since}. Balances, reports and budgets are without "
    text += "that."
    lines = [("Calls", f"{facts['calls']:,}"), ("Since", since)]
    return _of_account(notice, f"{calls} not charged since {since}", text, lines)


def frozen(notice: Notice) -> Said:
    """Nothing is posted to the account, as its ledger failed verify."""
    facts = notice.facts
    if notice.event == RECOVERED:
        return _of_account(notice, "released", "The account is released; its calls are posted again.", [])
    since = when(facts["since"], _UTC)
    text = f"Its ledger failed verify at {since}: calls are recorded and not posted, and its balance does not move. "
    text += "Somebody must look and release it."
    lines = [("Since", since), *([("Reason", facts["reason"])] if facts["reason"] else [])]
    return _of_account(notice, f"frozen since {since}", text, lines)


def scheduler(notice: Notice) -> Said:
    """No job ended for too long."""
    last = when(notice.facts["last_finished_at"], _UTC)
    lines = [("Last job", f"{notice.facts['last_job']}, ended {last}")]
    if notice.event == RECOVERED:
        return _of_jobs("The scheduler runs again", f"A job ended at {last}.", lines)
    text = f"The last job ended at {last}, though one is due each minute. Nothing expires, is verified or compared."
    return _of_jobs(f"The scheduler is silent since {last}", text, lines)


def job(notice: Notice) -> Said:
    """A job failed, or found what needs a hand."""
    facts = notice.facts
    lines = [("Job", facts["job"]), ("Ended", when(facts["finished_at"], _UTC)), ("Outcome", facts["outcome"])]
    if notice.event == RECOVERED:
        return _of_jobs(f"Job {facts['job']} is well again", f"Its last run: {facts['outcome']}.", lines)
    told = {"warned": "found what needs a hand"}.get(facts["outcome"], facts["outcome"])
    text = ": ".join(part for part in (facts["said"], facts["error"]) if part)
    return _of_jobs(f"Job {facts['job']} {told}", text, lines)


def calendar(notice: Notice) -> Said:
    """A calendar of holidays ends soon."""
    facts = notice.facts
    name, end = facts["calendar"], facts["published_to"]
    lines = [("Calendar", name), ("Published to", end)]
    if notice.event == RECOVERED:
        return Said(
            f"Calendar {name} goes on", f"It is published to {end}.", lines, "/prices", "costmeter prices check"
        )
    text = f"The price book knows the days off of {name} before {end} only; from then on charges that depend on it are "
    text += "provisional. Update costmeter, or add what is published (docs/price-book.md)."
    return Said(f"Calendar {name} ends on {end}", text, lines, "/prices", "costmeter prices check")


def _of_account(notice: Notice, said: str, text: str, lines: list[tuple[str, str]]) -> Said:
    """What is so with an account; where to look is its page."""
    name = notice.account
    title, path = f"Account {name}: {said}", f"/accounts/{in_url(name)}"
    return Said(title, text, [*lines, ("Account", name)], path, f"costmeter account show {name}")


def _plain(notice: Notice, said: str, text: str, lines: list[tuple[str, str]]) -> Said:
    """What may be so with an account or with none."""
    if notice.account:
        return _of_account(notice, said, text, lines)
    return Said(f"{said[:1].upper()}{said[1:]}", text, lines, "/alerts", "costmeter alerts list")


def _of_jobs(title: str, text: str, lines: list[tuple[str, str]]) -> Said:
    return Said(title, text, lines, "/jobs", "costmeter scheduler status")
