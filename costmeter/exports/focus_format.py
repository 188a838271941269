"""FOCUS, the FinOps Open Cost and Usage Specification: its versions, its modes of billing, and the columns of its Cost
and Usage dataset that costmeter knows something of.

Sources: FOCUS 1.4 (ratified 2026-06-04) and 1.2 (2025-05-29), Cost and Usage. All mandatory columns are here; custom
ones begin with x_ and stand after those of the specification, as it asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from costmeter.exports.export import Column, Kind

Cells = dict[str, Any]  # of a row, by the names of their columns

VENDOR = "DeepSeek"


class Version(StrEnum):
    """The version of FOCUS: 1.2 for importers that do not know 1.4 yet."""

    V1_4 = "1.4"
    V1_2 = "1.2"


class Mode(StrEnum):
    """What is billed: usage as it is charged, or the top-ups that it draws down."""

    ACCRUAL = "accrual"
    PREPAID = "prepaid"


# What every row says alike, in the columns of either version.
ALIKE = {
    "BillingAccountType": "Account",
    "InvoiceIssuerName": VENDOR,
    "ServiceCategory": "AI and Machine Learning",
    "ServiceSubcategory": "Generative AI",
    "ServiceName": "DeepSeek API",
    "ServiceProviderName": VENDOR,
    "HostProviderName": VENDOR,
    "ProviderName": VENDOR,
    "PublisherName": VENDOR,
}

_COST_AND_USAGE = (
    Column("BillingAccountId", Kind.TEXT),
    Column("BillingAccountName", Kind.TEXT),
    Column("BillingAccountType", Kind.TEXT),
    Column("BillingCurrency", Kind.TEXT),
    Column("BillingPeriodStart", Kind.INSTANT),
    Column("BillingPeriodEnd", Kind.INSTANT),
    Column("ChargePeriodStart", Kind.INSTANT),
    Column("ChargePeriodEnd", Kind.INSTANT),
    Column("ChargeCategory", Kind.TEXT),
    Column("ChargeClass", Kind.TEXT),
    Column("ChargeDescription", Kind.TEXT),
    Column("ChargeFrequency", Kind.TEXT),
    Column("SubAccountId", Kind.TEXT),
    Column("SubAccountName", Kind.TEXT),
    Column("SubAccountType", Kind.TEXT),
    Column("ServiceCategory", Kind.TEXT),
    Column("ServiceSubcategory", Kind.TEXT),
    Column("ServiceName", Kind.TEXT),
    Column("SkuId", Kind.TEXT),
    Column("SkuMeter", Kind.TEXT),
    Column("SkuPriceId", Kind.TEXT),
    Column("SkuPriceDetails", Kind.TEXT),
    Column("PricingCategory", Kind.TEXT),
    Column("PricingQuantity", Kind.QUANTITY),
    Column("PricingUnit", Kind.TEXT),
    Column("ConsumedQuantity", Kind.INTEGER),
    Column("ConsumedUnit", Kind.TEXT),
    Column("ListUnitPrice", Kind.QUANTITY),  # a price is no amount that anybody would sum
    Column("ContractedUnitPrice", Kind.QUANTITY),
    Column("ListCost", Kind.MONEY),
    Column("ContractedCost", Kind.MONEY),
    Column("BilledCost", Kind.MONEY),
    Column("EffectiveCost", Kind.MONEY),
    Column("InvoiceIssuerName", Kind.TEXT),
    Column("InvoiceId", Kind.TEXT),  # empty, as is the next: nothing is known of the vendor's invoices
)
_OWN = (
    Column("x_ApiKey", Kind.TEXT),
    Column("x_Model", Kind.TEXT),
    Column("x_Band", Kind.TEXT),
    Column("x_Tariff", Kind.TEXT),
    Column("x_PriceStatus", Kind.TEXT),  # priced or provisional
    Column("x_ReasoningTokens", Kind.INTEGER),  # of the output
    Column("x_GrantedCost", Kind.MONEY),  # of a credit: what granted balance paid, negative, in both modes
    Column("x_Adjusts", Kind.TEXT),  # the closed month that a correction belongs to
    Column("x_Credit", Kind.TEXT),  # of a purchase: the top-up's reference
)
FOCUS_1_4 = (
    *_COST_AND_USAGE,
    Column("InvoiceDetailId", Kind.TEXT),
    Column("ServiceProviderName", Kind.TEXT),
    Column("HostProviderName", Kind.TEXT),
    *_OWN,
)
FOCUS_1_2 = (*_COST_AND_USAGE, Column("ProviderName", Kind.TEXT), Column("PublisherName", Kind.TEXT), *_OWN)
COLUMNS: Mapping[Version, tuple[Column, ...]] = {Version.V1_4: FOCUS_1_4, Version.V1_2: FOCUS_1_2}


def charge_class(adjusts: str | None) -> Cells:
    """A charge of a closed month is a correction, in the billing period that is open."""
    return {"ChargeClass": "Correction" if adjusts else None, "x_Adjusts": adjusts}
