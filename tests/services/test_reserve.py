"""Whether somebody may spend now: all budgets that stop the scope or none, and each reservation ends once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, event, text, update

from costmeter.core.errors import ConflictError, InputError, NotFoundError
from costmeter.core.reservations import EXPIRED, OPEN, RELEASED, SETTLED
from costmeter.services.expire_reservations import expire_reservations, forget_reservations
from costmeter.services.rebuild_projections import rebuild_projections
from costmeter.services.remove_budget import remove_budget
from costmeter.services.reserve import Ask, reserve
from costmeter.services.settle_reservation import Ended, release_reservation, settle_reservation
from costmeter.services.verify import verify
from costmeter.store.engine import in_transaction
from costmeter.store.tables import BudgetPeriodRow, ReservationRow
from tests.make import MILLION, NOW, an_event, at, counted, post, record, record_and_post, rows, set_up_account, usd
from tests.services.reservation_machine import ReservationMachine
from tests.services.reserving import a_budget, ask, check_reserved, later, refused, reserved, standing

MARCH = ("all", "03-01")


def end(engine: Engine, how: Callable[..., Ended], reservation: Any, now: str = NOW) -> Ended:
    return how(engine, reservation.account, reservation.reservation_id, now=at(now))


def states(engine: Engine) -> list[str]:
    return [row["state"] for row in rows(engine, ReservationRow, ReservationRow.reservation_id)]


def test_what_is_reserved_is_not_there_for_others_and_the_refusal_says_why(engine: Engine) -> None:
    budget = a_budget(engine)
    record_and_post(engine, an_event("spent"))
    given = [reserved(engine, ask("3.00")) for _ in range(2)]
    assert [one.state for one in given] == [OPEN, OPEN]
    assert standing(engine) == {MARCH: (usd("1.10"), usd("6.00"))}

    why = refused(engine, ask("2.91"))
    assert (why.budget.name, why.budget.amount) == ("all", usd("10.00"))
    assert (why.spent, why.reserved, why.asked, why.left) == (usd("1.10"), usd("6.00"), usd("2.91"), usd("2.90"))
    assert why.period == budget.period_of(at(NOW))
    assert counted(engine, ReservationRow) == [2]

    assert reserved(engine, ask("2.90")).cost == usd("2.90")
    assert refused(engine, ask("0.000000000001")).left == 0
    assert reserved(engine, ask("0.00")).cost == 0  # nothing always fits where nothing is passed
    check_reserved(engine)
    assert verify(engine, full=True) == []


def test_a_budget_that_only_warns_refuses_nothing_and_is_not_touched(engine: Engine) -> None:
    a_budget(engine, stops=False, amount="0.01")
    given = reserved(engine, ask("5.00", event_id="e"))
    assert (given.reservation_id, given.parts) == (None, ())
    assert counted(engine, ReservationRow, BudgetPeriodRow) == [0, 0]


def test_without_a_budget_that_stops_one_indexed_read_is_all(engine: Engine) -> None:
    set_up_account(engine, "warned")
    a_budget(engine, stops=False, account="warned")
    a_budget(engine, where=["project=other"], account="warned", name="other")
    for account in ("unheard-of", "warned"):
        asked = ask(account=account)
        reserved(engine, asked)  # which reads the budgets that are kept then
        said: list[str] = []

        def hook(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            said.append(statement)  # noqa: B023  of this account

        event.listen(engine, "before_cursor_execute", hook)
        reserved(engine, asked)
        event.remove(engine, "before_cursor_execute", hook)
        assert [statement.split()[0] for statement in said if not statement.startswith("BEGIN")] == ["SELECT"]


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        (["project=search"], {"project": "search"}),
        (["user=u"], {"user": "u"}),
        (["model=deepseek-chat"], {"model": "deepseek-chat"}),
        (["tag:team=a"], {"tags": {"team": "a"}}),
        (["project=search", "tag:team=a"], {"project": "search", "tags": {"team": "a", "more": "x"}}),
    ],
)
def test_a_budget_stops_the_calls_that_it_counts(engine: Engine, where: list[str], fits: dict[str, Any]) -> None:
    a_budget(engine, amount="1.00", where=where)
    assert refused(engine, ask("1.01", **fits)).budget.filters
    assert reserved(engine, ask("1.01")).parts == ()
    assert reserved(engine, ask("1.01", project="other", user="v", model="deepseek-reasoner")).parts == ()
    assert reserved(engine, ask("1.01", account="else", **fits)).parts == ()


def test_a_key_is_known_by_its_fingerprint_as_in_events(engine: Engine) -> None:
    secret = "sk-" + "a1" * 16
    a_budget(engine, amount="1.00", where=[f"api_key={secret}"])
    assert refused(engine, ask("2.00", api_key=secret)).budget.filters["api_key"].startswith("fp_")


def test_tokens_are_held_back_of_budgets_of_tokens(engine: Engine) -> None:
    a_budget(engine, "money", amount="1.00")
    a_budget(engine, "tokens", tokens=1_000)
    reserved(engine, ask("0.25", 400))
    assert standing(engine) == {("money", "03-01"): (0, usd("0.25")), ("tokens", "03-01"): (0, 400)}
    why = refused(engine, ask("0.25", 601))
    assert (why.budget.name, why.asked, why.left) == ("tokens", 601, 600)
    assert standing(engine)["money", "03-01"] == (0, usd("0.25"))


def test_where_the_second_budget_refuses_the_first_is_left_as_it_was(engine: Engine) -> None:
    a_budget(engine, "large", amount="100.00")
    a_budget(engine, "small", amount="1.00")
    before = rows(engine, BudgetPeriodRow)
    assert refused(engine, ask("2.00")).budget.name == "small"
    assert rows(engine, BudgetPeriodRow) == before == []
    assert counted(engine, ReservationRow) == [0]


def test_asked_twice_for_a_call_it_is_the_same_reservation(engine: Engine) -> None:
    a_budget(engine)
    first = reserved(engine, ask(event_id="e1"))
    assert reserved(engine, ask(event_id="e1"), later(NOW, minutes=1)) == first
    assert standing(engine) == {MARCH: (0, usd("1.00"))}
    with pytest.raises(ConflictError, match="another cost or other tokens"):
        reserve(engine, ask("1.01", event_id="e1"), now=at(NOW))
    with pytest.raises(ConflictError):
        reserve(engine, ask(tokens=1, event_id="e1"), now=at(NOW))
    assert reserved(engine, ask(event_id="e2")).reservation_id != first.reservation_id

    assert end(engine, settle_reservation, first).is_new
    again = reserved(engine, ask(event_id="e1"))
    assert (again.reservation_id, again.state) == (first.reservation_id, SETTLED)  # that call is over


@pytest.mark.parametrize("how", ["released", "expired"])
def test_a_call_of_which_nothing_is_held_any_more_can_be_reserved_for_again(engine: Engine, how: str) -> None:
    a_budget(engine)
    first, now = reserved(engine, ask(event_id="e1")), NOW
    if how == "released":
        end(engine, release_reservation, first)
    else:
        now = later(NOW, hours=1)
        assert expire_reservations(engine, now=at(now)) == 1
    again = reserved(engine, ask(event_id="e1"), now)
    assert again.reservation_id != first.reservation_id
    assert states(engine) == [how, OPEN]
    check_reserved(engine)


@pytest.mark.parametrize(("how", "state"), [(settle_reservation, SETTLED), (release_reservation, RELEASED)])
def test_it_ends_once_and_says_so_the_second_time(engine: Engine, how: Callable[..., Ended], state: str) -> None:
    a_budget(engine)
    given = reserved(engine, ask())
    ended = end(engine, how, given)
    assert (ended.is_new, ended.reservation.state, ended.reservation.ended_at) == (True, state, at(NOW))
    assert standing(engine) == {MARCH: (0, 0)}
    for again in (settle_reservation, release_reservation):
        assert end(engine, again, given, later(NOW, hours=1)) == ended._replace(is_new=False)
    assert expire_reservations(engine, now=at(later(NOW, days=1))) == 0
    assert standing(engine) == {MARCH: (0, 0)}


def test_an_id_that_is_none_is_said(engine: Engine) -> None:
    a_budget(engine)
    with pytest.raises(NotFoundError, match="no reservation 00000000-0000-0000"):
        settle_reservation(engine, "default", bytes(16), now=at(NOW))
    given = reserved(engine, ask())
    with pytest.raises(NotFoundError):
        settle_reservation(engine, "other", given.reservation_id or b"", now=at(NOW))


def test_the_charge_of_the_call_settles_it_in_the_transaction_that_counts_it(engine: Engine) -> None:
    a_budget(engine)
    a_budget(engine, "tokens", tokens=3 * MILLION)
    given = reserved(engine, ask("2.00", 2 * MILLION, event_id="e1"))
    other = reserved(engine, ask("2.00", MILLION, event_id="e2"))
    record(engine, an_event("e1"), an_event("unforeseen", output=10))
    assert standing(engine)[MARCH] == (0, usd("4.00"))
    post(engine)
    assert standing(engine)[MARCH] == (usd("1.100011"), usd("2.00"))
    assert standing(engine)["tokens", "03-01"] == (MILLION + 10, MILLION)
    ended = end(engine, settle_reservation, given)
    assert (ended.is_new, ended.reservation.state) == (False, SETTLED)
    check_reserved(engine)
    assert end(engine, release_reservation, other).is_new
    assert verify(engine, full=True) == []


def test_a_charge_ends_what_it_reserved_wherever_it_is_counted(engine: Engine) -> None:
    """In another period, to another budget, or to none that stops: what was held goes."""
    a_budget(engine, "day", per="day")
    a_budget(engine, "project", where=["project=p"])
    reserved(engine, ask("2.00", event_id="e1", project="p"), "2025-03-10T23:40:00Z")
    assert [key for key, (_, held) in standing(engine).items() if held] == [
        ("day", "03-10"), ("day", "03-11"), ("project", "03-01"),
    ]  # fmt: skip
    record_and_post(engine, an_event("e1", "2025-03-11T00:00:00Z"), now="2025-03-11T00:00:01Z")
    assert standing(engine) == {
        ("day", "03-10"): (0, 0), ("day", "03-11"): (usd("0.55"), 0), ("project", "03-01"): (0, 0),
    }  # fmt: skip
    assert states(engine) == [SETTLED]


def test_periods_turn_over_and_the_next_has_its_own_room(engine: Engine) -> None:
    a_budget(engine, per="day", amount="1.00", now="2025-03-10T00:00:00Z")
    reserved(engine, ask(lifetime=timedelta(minutes=5)), "2025-03-10T23:50:00Z")
    why = refused(engine, ask("0.01", lifetime=timedelta(minutes=5)), "2025-03-10T23:52:00Z")
    assert why.period.end == at("2025-03-11T00:00:00Z")
    assert reserved(engine, ask("1.00"), "2025-03-11T00:00:00Z").parts[0].starts_at == at("2025-03-11T00:00:00Z")
    check_reserved(engine)


def test_a_holder_that_is_gone_blocks_no_longer_than_its_reservation_lasts(engine: Engine) -> None:
    """Whoever would be refused ends what has expired; nobody has to wait for the sweeper."""
    a_budget(engine, amount="1.00")
    gone = reserved(engine, ask("1.00", lifetime=timedelta(seconds=60)))
    assert refused(engine, ask("0.01"), later(NOW, seconds=59.999999)).reserved == usd("1.00")
    assert reserved(engine, ask("1.00"), later(NOW, seconds=60)).state == OPEN
    assert states(engine) == [EXPIRED, OPEN]
    assert end(engine, settle_reservation, gone).reservation.state == EXPIRED
    check_reserved(engine)


def test_a_call_that_waits_to_be_posted_holds_on_until_its_charge(engine: Engine) -> None:
    a_budget(engine, amount="2.00")
    reserved(engine, ask("1.10", event_id="e1"))
    record(engine, an_event("e1"))
    tomorrow = later(NOW, days=1)
    assert expire_reservations(engine, now=at(tomorrow)) == 0
    assert refused(engine, ask("1.00"), tomorrow).reserved == usd("1.10")
    post(engine, now=tomorrow)
    assert standing(engine) == {MARCH: (usd("1.10"), 0)}
    assert states(engine) == [SETTLED]


def test_what_was_never_recorded_expires_though_other_calls_wait(engine: Engine) -> None:
    a_budget(engine)
    reserved(engine, ask(event_id="e1"))
    reserved(engine, ask())
    record(engine, an_event("e2"))
    assert expire_reservations(engine, now=at(later(NOW, days=1))) == 2
    assert standing(engine) == {MARCH: (0, 0)}


def test_more_is_spent_than_was_reserved_or_more_than_there_is(engine: Engine) -> None:
    a_budget(engine, amount="1.00")
    reserved(engine, ask("0.10", event_id="e1"))
    record_and_post(engine, an_event("e1"))
    why = refused(engine, ask("0.00"))
    assert (why.spent, why.reserved, why.left) == (usd("1.10"), 0, usd("-0.10"))


def test_a_budget_past_64_bits_still_holds_within_them(engine: Engine) -> None:
    most = 2**63 - 1
    a_budget(engine, amount="100000000.00")
    reserved(engine, Ask("default", most, 0, "o"))
    assert refused(engine, Ask("default", 1, 0, "o")).reserved == most
    in_transaction(engine, lambda c: c.execute(update(BudgetPeriodRow).values(room=-most)))
    assert refused(engine, Ask("default", most, 0, "o")).asked == most
    in_transaction(engine, lambda c: c.execute(update(BudgetPeriodRow).values(room=most)))


def test_a_budget_that_was_removed_holds_nothing_back_any_more(engine: Engine) -> None:
    a_budget(engine, amount="1.00")
    given = reserved(engine, ask("1.00"))
    remove_budget(engine, "default", "all", by="root", now=at(NOW))
    assert reserved(engine, ask("5.00")).parts == ()
    a_budget(engine, amount="2.00")
    assert reserved(engine, ask("2.00")).parts[0].number == 2
    assert end(engine, settle_reservation, given).is_new
    check_reserved(engine)
    assert verify(engine, full=True) == []


def test_bad_input_says_which(engine: Engine) -> None:
    set_up_account(engine, "asia", "CNY")
    for asked, said in (
        (ask(account="asia", currency="USD"), r"currency 'USD': account 'asia' is in CNY"),
        (ask(owner=" "), "owner ' ': write 1 to 256"),
        (ask(lifetime=timedelta(days=2)), "seconds 172800: a reservation lasts"),
        (Ask("default", -1, 0, "o"), "cost -1: must be from 0"),
        (Ask("default", 0, 2**63, "o"), "tokens 9223372036854775808: must be"),
        (ask(account=""), "account '': an account is named"),
        (ask(tags={"a": 1}), "a 1: write a text"),
    ):
        with pytest.raises(InputError, match=said):
            reserve(engine, asked, now=at(NOW))
    assert reserved(engine, ask(account="asia", currency="CNY")).parts == ()


def test_what_ended_long_ago_is_forgotten_and_what_is_open_is_not(engine: Engine) -> None:
    a_budget(engine)
    end(engine, settle_reservation, reserved(engine, ask()))
    reserved(engine, ask())
    assert forget_reservations(engine, now=at(NOW)) == 0
    assert forget_reservations(engine, now=at("2999-01-01T00:00:00Z")) == 1
    assert states(engine) == [OPEN]


def test_verify_finds_a_wrong_sum_and_rebuilding_makes_it_again(engine: Engine) -> None:
    a_budget(engine)
    a_budget(engine, "gone")
    a_budget(engine, "never")
    reserved(engine, ask("1.00"))
    reserved(engine, ask("2.00"))
    record_and_post(engine, an_event("e"))
    for wrong in (
        "UPDATE budget_period SET reserved = 7 WHERE number = 1",
        "DELETE FROM budget_period WHERE number = 2",
    ):
        with engine.begin() as connection:
            connection.execute(text(wrong))
    found = [one.what for one in verify(engine, full=True)]
    (first, second) = [what for what in found if "reserved" in what]
    said = "USD reserved in its period from 2025-03-01T00:00:00Z, its open reservations hold 3.00"
    assert (first, second) == (f"budget 'all' has 0.000000000007 {said}", f"budget 'gone' has 0.00 {said}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE account SET frozen_at = NULL"))
    rebuild_projections(engine)
    assert {key[0]: row for key, row in standing(engine).items()} == dict.fromkeys(
        ("all", "gone", "never"), (usd("1.10"), usd("3.00"))
    )
    assert verify(engine, full=True) == []
    check_reserved(engine)


def test_a_sum_that_is_wrong_keeps_no_call_from_being_posted(engine: Engine) -> None:
    a_budget(engine)
    reserved(engine, ask("2.00", event_id="e1"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE budget_period SET reserved = 1"))
    record_and_post(engine, an_event("e1"))
    assert standing(engine) == {MARCH: (usd("1.10"), 0)}


def test_what_is_reserved_is_what_the_model_says_whatever_is_done(engine: Engine) -> None:
    examples = 40 if engine.dialect.name == "sqlite" else 25
    run_state_machine_as_test(
        lambda: ReservationMachine(engine),  # type: ignore[arg-type]  # anything that makes a machine
        settings=settings(max_examples=examples, stateful_step_count=25, deadline=None),
    )
