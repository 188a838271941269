"""An export of the simulator's own ledger beside what is recorded: equal, or told where not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from costmeter.core.errors import InputError
from costmeter.core.export_comparison import (
    COST,
    FILES_DISAGREE,
    GRANTED_PART,
    PRICE,
    TOKENS,
    TOPPED_UP_PART,
    Difference,
)
from costmeter.core.money import format_amount
from costmeter.services.import_export import import_export
from costmeter.services.read_console import read_console
from costmeter.services.reconcile_export import Reconciled, reconcile_export
from costmeter.simulator.exports import export_zip
from costmeter.store.accounts import Home
from costmeter.store.engine import open_engine, reading
from tests.exported import amount_row, an_export, cost_row
from tests.make import an_unmetered, record_and_post, set_up_account
from tests.twin_books import BEGIN, MILLION, OFF_PEAK, OURS, PEAK, VENDORS, TwinBooks, twin_books, wrong_book

SHAPES = [
    {"form": "old"}, {"form": "new"}, {"hours": 1}, {"offset_minutes": 480}, {"hours": 1, "offset_minutes": -570},
]  # fmt: skip


@pytest.fixture
def twin(engine: Engine) -> Iterator[TwinBooks]:
    with twin_books(engine) as books:
        yield books


def reconcile(twin: TwinBooks, folder: Path, account: str = "default", **shape: Any) -> Reconciled:
    """What comes of the simulator's export."""
    twin.post()
    path = folder / "export.zip"
    path.write_bytes(export_zip(twin.simulator.ledger.calls, "USD", **shape))
    with reading(twin.engine) as connection:
        return reconcile_export(connection, account, read_console(path))


def some_days(twin: TwinBooks, days: int) -> None:
    dice = random.Random(days)
    for day in range(days):
        for time in (PEAK, OFF_PEAK):
            twin.to(day, time)
            twin.call(hit=dice.randrange(MILLION), miss=dice.randrange(MILLION), output=dice.randrange(MILLION))


def told(differences: list[Difference]) -> list[tuple[str, str | None, int, int]]:
    return [(one.kind, one.meter, one.ours, one.theirs) for one in differences]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_of_export_agrees_to_the_last_digit(twin: TwinBooks, shape: dict[str, Any], tmp_path: Path) -> None:
    """With a grant that runs out in the middle of a call and one that expires, and an overdraft."""
    twin.credit("granted", "1.10")
    twin.credit("granted", "9", expires_at=BEGIN + timedelta(days=2))
    twin.credit("topped_up", "2")
    some_days(twin, 4)
    found = reconcile(twin, tmp_path, **shape)
    assert (found.differences, found.agrees) == ([], True)
    assert len(found.intervals) == (8 if shape.get("hours") == 1 else 4)


class TestDifferences:
    def test_a_call_that_one_side_has_not(self, twin: TwinBooks, tmp_path: Path) -> None:
        twin.credit("topped_up", "100")
        some_days(twin, 1)
        twin.call(miss=1000, only=VENDORS)
        twin.call(hit=5, only=OURS)
        found = reconcile(twin, tmp_path)
        hits, misses = (
            {o.kind: o for o in found.differences if o.meter == f"input.cache_{m}"} for m in ("hit", "miss")
        )
        assert hits[TOKENS].ours - hits[TOKENS].theirs == 5
        assert misses[TOKENS].theirs - misses[TOKENS].ours == 1000
        (cost,) = [one for one in found.differences if one.kind == COST]
        assert format_amount(cost.theirs - cost.ours) == "0.000149985"
        assert not found.agrees

    def test_a_day_that_the_vendor_has_no_row_of(self, twin: TwinBooks, tmp_path: Path) -> None:
        twin.credit("topped_up", "100")
        for day, only in ((0, "both"), (1, OURS), (2, "both")):
            twin.to(day)
            twin.call(output=1000, only=only)
        found = reconcile(twin, tmp_path)
        assert told(found.differences) == [
            (TOKENS, "output", 1000, 0), (TOKENS, "requests", 1, 0), (COST, None, 600_000_000, 0),
        ]  # fmt: skip
        assert found.differences[0].as_dict() == {
            "from": "2026-10-13T00:00:00Z", "to": "2026-10-14T00:00:00Z", "model": "deepseek-flash", "kind": "tokens",
            "meter": "output", "price_per_million": "0.60", "recorded": "1000", "exported": "0", "difference": "-1000",
        }  # fmt: skip

    def test_an_unmetered_call_is_counted_beside_what_is_missing(self, twin: TwinBooks, tmp_path: Path) -> None:
        twin.credit("topped_up", "100")
        twin.to(0)
        twin.call(output=1000, only=VENDORS)
        twin.record(an_unmetered("u", twin.clock.now().isoformat(), model="deepseek-flash"))
        found = reconcile(twin, tmp_path)
        assert found.unmetered == 1
        assert (TOKENS, "output", 0, 1000) in told(found.differences)

    def test_another_price_is_told_as_one(self, engine: Engine, tmp_path: Path) -> None:
        with twin_books(engine, wrong_book()) as twin:
            twin.credit("topped_up", "100")
            twin.to(0, PEAK)
            twin.call(miss=7, output=MILLION)
            found = reconcile(twin, tmp_path)
        assert [one for one in told(found.differences) if one[0] == PRICE] == [
            (PRICE, "output", 0, MILLION),
            (PRICE, "output", MILLION, 0),
        ]
        assert [one.price for one in found.differences if one.kind == PRICE] == [1_200_000, 1_300_000]
        assert [one[2:] for one in told(found.differences) if one[0] == COST] == [
            (1_300_002_100_000, 1_200_002_100_000)
        ]

    def test_another_split_is_told_by_wallet(self, twin: TwinBooks, tmp_path: Path) -> None:
        twin.credit("topped_up", "100")
        twin.credit("granted", "0.10", only=VENDORS)
        twin.to(0)
        twin.call(output=MILLION)
        tenth = 100_000_000_000
        assert told(reconcile(twin, tmp_path).differences) == [
            (GRANTED_PART, None, 0, tenth),
            (TOPPED_UP_PART, None, 6 * tenth, 5 * tenth),
        ]

    def test_of_calls_from_before_the_balance_the_split_is_not_compared(self, twin: TwinBooks, tmp_path: Path) -> None:
        twin.simulator.ledger.add_credit("granted", "0.10")
        twin.to(0)
        twin.call(output=MILLION)
        assert reconcile(twin, tmp_path).agrees

    def test_an_unpriced_call_has_tokens_without_a_price(self, twin: TwinBooks, tmp_path: Path) -> None:
        twin.to(0)
        event = {"event_id": "a", "model": "no-such-model", "usage": {"prompt_tokens": 0, "completion_tokens": 3}}
        record_and_post(
            twin.engine, {**event, "completed_at": twin.clock.now().isoformat()}, now="2026-10-13T00:00:00Z"
        )
        twin.call(output=1)
        (tokens, requests) = reconcile(twin, tmp_path).differences
        assert (tokens.kind, tokens.model, tokens.price, tokens.ours) == (TOKENS, "no-such-model", None, 3)
        assert (requests.meter, requests.ours, requests.theirs) == ("requests", 1, 0)

    def test_files_that_contradict_each_other(self, engine: Engine, tmp_path: Path) -> None:
        set_up_account(engine, "default")
        path = an_export(tmp_path / "e.zip", [amount_row()], [cost_row("0.0004")])
        with reading(engine) as connection:
            found = reconcile_export(connection, "default", read_console(path))
        assert told(found.differences)[0] == (FILES_DISAGREE, None, 300_000_000, 400_000_000)


def test_what_was_imported_agrees_with_its_source(twin: TwinBooks, tmp_path: Path) -> None:
    """As hours, and as the days that hold these hours."""
    twin.credit("granted", "1.10")
    twin.credit("topped_up", "100")
    some_days(twin, 3)
    hours = tmp_path / "hours.zip"
    hours.write_bytes(export_zip(twin.simulator.ledger.calls, "USD", hours=1))
    import_export(twin.engine, "history", read_console(hours), by="Ada", home=Home(), now=twin.clock.now())
    assert reconcile(twin, tmp_path, "history", hours=1).agrees
    assert reconcile(twin, tmp_path, "history", form="old").agrees


def test_days_that_were_imported_cannot_be_compared_by_hours(twin: TwinBooks, tmp_path: Path) -> None:
    twin.credit("topped_up", "100")
    some_days(twin, 1)
    days = tmp_path / "days.zip"
    days.write_bytes(export_zip(twin.simulator.ledger.calls, "USD"))
    import_export(twin.engine, "history", read_console(days), by="Ada", home=Home(), now=twin.clock.now())
    with pytest.raises(InputError, match="which was imported as one; compare an export of such intervals"):
        reconcile(twin, tmp_path, "history", hours=1)


def test_a_refused_row_is_no_agreement(engine: Engine, tmp_path: Path) -> None:
    set_up_account(engine, "default")
    path = an_export(tmp_path / "e.zip", [amount_row(0), amount_row("x")], [])
    with reading(engine) as connection:
        found = reconcile_export(connection, "default", read_console(path))
    assert (found.differences, len(found.refused), found.agrees) == ([], 1, False)


@pytest.mark.parametrize(
    ("amounts", "costs", "error"),
    [
        ([], [], "has no row to compare"),
        ([], [cost_row(currency="CNY")], "account 'default' is kept in USD"),
        ([amount_row(), amount_row(time="2026-09-01T00:00:00Z,2026-09-02T00:00:00Z")], [], "compare days and hours"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    engine: Engine, amounts: list[str], costs: list[str], error: str, tmp_path: Path
) -> None:
    set_up_account(engine, "default")
    with reading(engine) as connection, pytest.raises(InputError, match=error):
        reconcile_export(connection, "default", read_console(an_export(tmp_path / "e.zip", amounts, costs)))


calls = st.tuples(
    st.integers(0, 14 * 86_400 - 1), st.integers(0, MILLION), st.integers(0, MILLION), st.integers(0, MILLION)
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(calls, min_size=1, max_size=8), st.sampled_from(SHAPES), st.integers(0, 3 * 10**6))
def test_an_export_of_what_is_recorded_always_reconciles(
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[int, int, int, int]],
    shape: dict[str, Any],
    granted: int,
) -> None:
    """Whatever the calls and their instants, whatever of them a grant paid."""
    folder = tmp_path_factory.mktemp("books")
    copy = folder / "costmeter.sqlite3"
    copy.write_bytes(sqlite_template.read_bytes())
    engine = open_engine(f"sqlite:///{copy}")
    try:
        with twin_books(engine) as twin:
            twin.credit("topped_up", "1")
            if granted:
                twin.credit("granted", f"{granted / 10**6:.6f}")
            for second, hit, miss, output in sorted(made):
                twin.to(0, timedelta(seconds=second + 10))
                twin.call(hit=hit, miss=miss, output=output)
            assert reconcile(twin, folder, **shape).differences == []
    finally:
        engine.dispose()
