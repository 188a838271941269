"""The FOCUS export: its rows worked out by hand."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from costmeter.core.errors import CostmeterError, InputError
from costmeter.exports.export import Export
from costmeter.exports.focus import count_unpriced, focus_export
from costmeter.exports.focus_format import Mode, Version
from costmeter.prices.read import read_edition
from costmeter.services.correct_balance import NewCorrection, correct_balance
from costmeter.services.open_account import Opening, open_account
from costmeter.services.reprice import reprice
from costmeter.store.accounts import Home
from costmeter.store.engine import in_transaction, reading
from costmeter.store.scope import Scope
from costmeter.store.tables import ChargeRow
from tests.exports.focus_month import spend
from tests.exports.writing import as_csv, exported
from tests.late_prices import with_new_model, with_other_rate
from tests.make import NOW, an_event, at, give, grant, post, record, record_and_post, set_up_account, top_up, usd
from tests.services.invariants import close

MARCH = Scope.checked(month="2025-03")
ACCRUAL, PREPAID = focus_export(), focus_export(mode=Mode.PREPAID)
BOTH = [(version, mode) for version in Version for mode in Mode]


def of(rows: list[dict[str, Any]], category: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["ChargeCategory"] == category]


def total(rows: list[dict[str, Any]], column: str) -> int:
    return sum(row[column] for row in rows)


def test_a_row_of_usage_says_what_was_used_of_which_meter_at_which_price(engine: Engine) -> None:
    used = {"completion_tokens_details": {"reasoning_tokens": 60}}
    body = an_event(project="search", api_key="backend", hit=3, output=1_500_000)
    record_and_post(engine, body | {"usage": body["usage"] | used})

    hits, output = exported(engine, ACCRUAL, MARCH)
    assert output == {
        "BillingAccountId": "default",
        "BillingAccountName": "default",
        "BillingAccountType": "Account",
        "BillingCurrency": "USD",
        "BillingPeriodStart": at("2025-03-01T00:00:00Z"),
        "BillingPeriodEnd": at("2025-04-01T00:00:00Z"),
        "ChargePeriodStart": at("2025-03-03T00:00:00Z"),
        "ChargePeriodEnd": at("2025-03-04T00:00:00Z"),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": "Output Tokens of deepseek-chat by deepseek-v3/2025-02-26, standard",
        "ChargeFrequency": "Usage-Based",
        "SubAccountId": "search",
        "SubAccountName": "search",
        "SubAccountType": "Project",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "DeepSeek API",
        "SkuId": "deepseek:deepseek-chat:output",
        "SkuMeter": "Output Tokens",
        "SkuPriceId": "deepseek:deepseek-chat:output:deepseek-v3/2025-02-26:standard:USD:1.10",
        "SkuPriceDetails": '{"x_ModelId":"deepseek-chat","x_ModelDeveloper":"DeepSeek","x_TokenDirection":"Output",'
        '"x_Tariff":"deepseek-v3/2025-02-26","x_Band":"standard"}',
        "PricingCategory": "Standard",
        "PricingQuantity": Decimal("1.5"),
        "PricingUnit": "1000000 Tokens",
        "ConsumedQuantity": 1_500_000,
        "ConsumedUnit": "Tokens",
        "ListUnitPrice": Decimal("1.10"),
        "ContractedUnitPrice": Decimal("1.10"),
        "ListCost": usd("1.65"),
        "ContractedCost": usd("1.65"),
        "BilledCost": usd("1.65"),
        "EffectiveCost": usd("1.65"),
        "InvoiceIssuerName": "DeepSeek",
        "InvoiceId": None,
        "InvoiceDetailId": None,
        "ServiceProviderName": "DeepSeek",
        "HostProviderName": "DeepSeek",
        "x_ApiKey": "backend",
        "x_Model": "deepseek-chat",
        "x_Band": "standard",
        "x_Tariff": "deepseek-v3/2025-02-26",
        "x_PriceStatus": "priced",
        "x_ReasoningTokens": 60,
        "x_GrantedCost": None,
        "x_Adjusts": None,
        "x_Credit": None,
    }
    assert (hits["SkuId"], hits["ListCost"]) == ("deepseek:deepseek-chat:input-hit", usd("0.00000021"))
    assert (hits["PricingQuantity"], hits["x_ReasoningTokens"]) == (Decimal("0.000003"), None)


def test_accrual_bills_the_usage_and_takes_off_what_was_granted(engine: Engine) -> None:
    spend(engine)
    rows = exported(engine, ACCRUAL, MARCH)

    cost = usd("1.10") + 3 * 70_000 + 4 * 270_000 + 2 * 550_000 + usd("5.50")
    assert total(of(rows, "Usage"), "BilledCost") == total(of(rows, "Usage"), "EffectiveCost") == cost
    (credit,) = of(rows, "Credit")
    assert {
        credit[name] for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "x_GrantedCost")
    } == {-usd("0.50")}
    assert (credit["ChargePeriodStart"], credit["SubAccountId"]) == (at("2025-03-03T00:00:00Z"), None)
    assert len(rows) == len(of(rows, "Usage")) + 1, "a top-up is no cost of the month"


def test_prepaid_bills_the_top_ups_and_recognises_them_in_the_usage(engine: Engine) -> None:
    spend(engine)
    accrual, rows = (exported(engine, export, MARCH) for export in (ACCRUAL, PREPAID))

    assert {row["BilledCost"] for row in (*of(rows, "Usage"), *of(rows, "Credit"))} == {0}
    assert total(of(rows, "Usage"), "EffectiveCost") == total(of(accrual, "Usage"), "EffectiveCost")
    (credit,) = of(rows, "Credit")
    assert (credit["EffectiveCost"], credit["x_GrantedCost"]) == (0, -usd("0.50"))
    purchases = [
        (row["x_Credit"], row["ChargeDescription"], row["BilledCost"], row["EffectiveCost"], row["PricingQuantity"])
        for row in of(rows, "Purchase")
    ]
    assert purchases == [
        ("invoice-17", "Top-up: invoice-17", usd("5.00"), 0, 5),
        ("wrong", "Top-up: wrong", usd("9.00"), 0, 9),
        ("wrong", "Top-up taken back: wrong", -usd("9.00"), 0, -9),
    ]
    assert len(rows) == len(accrual) + len(purchases)


@pytest.mark.parametrize(("version", "mode"), BOTH)
def test_list_price_times_quantity_is_the_cost_to_the_digit(engine: Engine, version: Version, mode: Mode) -> None:
    """Not within a tolerance, as the toolkit has it; through the file and back."""
    spend(engine)
    rows = [*csv.DictReader(io.StringIO(as_csv(engine, focus_export(version, mode), MARCH), newline=""))]
    priced = [row for row in rows if row["ListUnitPrice"]]
    assert len(priced) >= 5
    for row in priced:
        for kind in ("List", "Contracted"):
            product = Fraction(row[f"{kind}UnitPrice"]) * Fraction(row["PricingQuantity"])
            assert product == Fraction(row[f"{kind}Cost"])


def test_a_day_is_one_of_the_accounts_zone(engine: Engine) -> None:
    """In Shanghai the day begins at 16:00; in New York 2025-03-09 had 23 hours."""
    set_up_account(engine, "shanghai", timezone="Asia/Shanghai")
    set_up_account(engine, "york", timezone="America/New_York")
    for account, instant in (
        ("shanghai", "2025-03-03T15:59:59Z"), ("shanghai", "2025-03-03T16:00:00Z"),
        ("york", "2025-03-09T05:00:00Z"), ("york", "2025-03-10T03:59:59Z"), ("york", "2025-03-10T04:00:00Z"),
    ):  # fmt: skip
        record_and_post(engine, an_event(f"{account} {instant}", instant, account=account), now="2025-03-11T00:00:00Z")

    found = [
        (row["BillingAccountId"], row["ChargePeriodStart"], row["ChargePeriodEnd"])
        for row in exported(engine, ACCRUAL, MARCH)
    ]
    days = [("shanghai", "02T16", "03T16"), ("shanghai", "03T16", "04T16")]
    days += [("york", "09T05", "10T04"), ("york", "10T04", "11T04")]
    assert found == [(name, at(f"2025-03-{start}:00:00Z"), at(f"2025-03-{end}:00:00Z")) for name, start, end in days]
    starts = {row["BillingAccountId"]: row["BillingPeriodStart"] for row in exported(engine, ACCRUAL, MARCH)}
    assert starts == {"shanghai": at("2025-02-28T16:00:00Z"), "york": at("2025-03-01T05:00:00Z")}


def test_each_rate_is_a_row_of_its_own(engine: Engine) -> None:
    """A corrected rate leaves nothing at the old one while the month is open, and the same rate is one row."""
    record_and_post(engine, an_event("a", project="x"), an_event("b", "2025-03-03T17:00:00Z", project="x"))
    reprice(engine, book=with_other_rate(), read_book=read_edition, by="Ada", now=at(NOW))

    rows = {row["x_Band"]: row for row in exported(engine, ACCRUAL, MARCH)}
    assert {band: row["ListUnitPrice"] for band, row in rows.items()} == {
        "standard": Decimal("1.50"), "off_peak": Decimal("0.55")
    }  # fmt: skip
    assert rows["standard"]["SkuPriceId"].endswith(":deepseek-v3/2025-02-26:standard:USD:1.50")
    assert rows["standard"]["ListCost"] == usd("1.50")


def test_editions_that_list_the_same_rate_make_one_row(engine: Engine) -> None:
    record_and_post(engine, an_event("a"))
    record(engine, an_event("b", "2025-03-03T13:00:00Z"))
    post(engine, by=with_new_model())

    (row,) = exported(engine, ACCRUAL, MARCH)
    assert (row["ConsumedQuantity"], row["ListCost"]) == (2_000_000, usd("2.20"))


def test_what_adjusts_a_closed_month_is_a_correction_in_the_open_one(engine: Engine) -> None:
    top_up(engine, "5.00", "2025-02-01T00:00:00Z")
    record_and_post(engine, an_event("a", "2025-02-27T12:00:00Z"), an_event("b", "2025-02-27T17:00:00Z"))
    close(engine, "2025-02")
    february = as_csv(engine, ACCRUAL, Scope.checked(month="2025-02"))
    record_and_post(engine, an_event("late", "2025-02-27T12:00:00Z", output=1_000))
    reprice(engine, book=with_other_rate(), read_book=read_edition, by="Ada", now=at(NOW))
    grant(engine, "1.00", "2025-02-02T00:00:00Z", reference="welcome")
    give(engine, "topped_up", "2.00", "2025-02-03T00:00:00Z", reference="late top-up")

    rows = exported(engine, PREPAID, MARCH)
    assert {(row["ChargeClass"], row["x_Adjusts"]) for row in rows} == {("Correction", "2025-02")}
    assert {row["BillingPeriodStart"] for row in rows} == {at("2025-03-01T00:00:00Z")}
    usage = [(row["ListUnitPrice"], row["ConsumedQuantity"], row["EffectiveCost"]) for row in of(rows, "Usage")]
    assert sorted(usage) == [
        (Decimal("1.10"), -1_000_000, -usd("1.10")),
        (Decimal("1.50"), 1_001_000, usd("1.5015")),
    ]
    assert {row["ChargePeriodStart"] for row in of(rows, "Usage")} == {at("2025-02-27T00:00:00Z")}
    assert [row["x_GrantedCost"] for row in of(rows, "Credit")] == [-usd("1.00")]
    assert [(row["ChargePeriodStart"], row["BilledCost"]) for row in of(rows, "Purchase")] == [
        (at("2025-02-03T00:00:00Z"), usd("2.00"))
    ]
    assert as_csv(engine, ACCRUAL, Scope.checked(month="2025-02")) == february, "a closed month never changes"


def test_what_was_put_right_is_an_adjustment_and_what_was_there_is_no_purchase(engine: Engine) -> None:
    """The granted balance that was missing costs nothing until it pays for something."""
    opening = Opening("default", at("2025-03-01T00:00:00Z"), granted=usd("1.00"), topped_up=usd("7.00"))
    open_account(engine, opening, by="Ada", home=Home(), now=at("2025-03-01T00:00:00Z"))
    for amount, kind in (("0.30", "topped_up"), ("-0.20", "topped_up"), ("2.00", "granted")):
        new = NewCorrection("default", usd(amount), "counted", kind, at("2025-03-02T00:00:00Z"))
        correct_balance(engine, new, by="Ada", now=at(NOW))

    for export, is_billed in ((ACCRUAL, True), (PREPAID, False)):
        rows = exported(engine, export, MARCH)
        assert {row["ChargeCategory"] for row in rows} == {"Adjustment"}
        assert [row["EffectiveCost"] for row in rows] == [-usd("0.30"), usd("0.20")]
        assert [row["BilledCost"] for row in rows] == [row["EffectiveCost"] * is_billed for row in rows]


def test_calls_without_a_price_have_no_row_and_are_counted(engine: Engine) -> None:
    record_and_post(engine, an_event("a", "2025-02-27T12:00:00Z", model="deepseek-9"), an_event("b", model="x"))
    close(engine, "2025-02")

    def unpriced(month: str) -> int:
        with reading(engine) as connection:
            return count_unpriced(connection, Scope.checked(month=month))

    assert exported(engine, ACCRUAL, MARCH) == []
    assert (unpriced("2025-02"), unpriced("2025-03"), unpriced("2025-04")) == (1, 1, 0)
    reprice(engine, book=with_new_model(), read_book=read_edition, by="Ada", now=at(NOW))
    assert (unpriced("2025-02"), unpriced("2025-03")) == (1, 0), "one less of February, and one of March"
    (row,) = exported(engine, ACCRUAL, MARCH)
    assert (row["ChargeClass"], row["EffectiveCost"]) == ("Correction", usd("2.00"))


def test_a_provisional_price_is_said_to_be_one(engine: Engine) -> None:
    late = "2027-03-03T12:00:00Z"
    record_and_post(engine, an_event(completed_at=late, model="deepseek-v4-pro"), now="2027-03-04T00:00:00Z")

    (row,) = exported(engine, ACCRUAL, Scope.checked(month="2027-03"))
    assert row["x_PriceStatus"] == "provisional"


def test_a_filter_leaves_a_part_and_its_share_of_what_was_granted(engine: Engine) -> None:
    grant(engine, "9.00", "2025-03-01T00:00:00Z")
    record_and_post(engine, an_event("a", project="x"), an_event("b", project="y"))

    rows = exported(engine, ACCRUAL, Scope.checked(month="2025-03", where=["project=x"]))
    assert [(row["ChargeCategory"], row["BilledCost"]) for row in rows] == [
        ("Usage", usd("1.10")),
        ("Credit", -usd("1.10")),
    ]


@pytest.mark.parametrize(
    ("export", "scope", "message"),
    [
        (ACCRUAL, Scope.checked(start=at("2025-03-01T00:00:00Z"), end=at(NOW)), "month: a FOCUS file is of one"),
        (PREPAID, Scope.checked(month="2025-03", where=["project=x"]), "where 'project=x': top-ups are of whole"),
        (ACCRUAL, MARCH, "currency: there are accounts in CNY and USD"),
    ],
)
def test_a_scope_that_cannot_be_is_refused_before_the_first_row(
    engine: Engine, export: Export, scope: Scope, message: str
) -> None:
    set_up_account(engine, "usd")
    set_up_account(engine, "cny", "CNY")
    with reading(engine) as connection, pytest.raises(InputError, match=message):
        export.rows(connection, scope)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"cost_output": usd("1.1"), "cost_cache_hit": 1},
            "0 tokens of input.cache_hit .* cost 0.00, and 0.000000000001 was",
        ),
        ({"band": "peak"}, "charges of output by tariff 'deepseek-v3/2025-02-26', band 'peak', have no USD rate"),
        ({"tariff": "other"}, "charges of output by tariff 'other', band 'standard', have no USD rate"),
    ],
)
def test_a_charge_that_is_not_its_quantity_at_the_listed_rate_is_an_error(
    engine: Engine, changed: dict[str, Any], message: str
) -> None:
    """Put into the books by hand: no row is written that would not be true."""
    record_and_post(engine, an_event())
    with reading(engine) as connection:
        first = connection.execute(select(*ChargeRow.__table__.columns)).mappings().one()
    cost = changed.get("cost_cache_hit", 0) + usd("1.10")
    other = {**first, "revision": 2, "cost": cost, "untracked": cost, **changed}
    in_transaction(engine, lambda connection: connection.execute(insert(ChargeRow), [other]))

    with reading(engine) as connection, pytest.raises(CostmeterError, match=message):
        [*ACCRUAL.rows(connection, MARCH)]
