"""FOCUS files judged by focus-toolkit, which comes from elsewhere: their columns, and what it finds wrong."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from focus_data_toolkit.model import load_model
from focus_data_toolkit.schema.registry import mandatory_columns, version_columns
from sqlalchemy import Engine

from costmeter.exports.focus import focus_export
from costmeter.exports.focus_format import COLUMNS, Mode, Version
from costmeter.store.scope import Scope
from tests.exports.focus_month import spend
from tests.exports.writing import as_csv, csv_file, exported
from tests.make import an_event, record_and_post
from tests.services.invariants import close

MARCH = Scope.checked(month="2025-03")
DATASET = "Cost and Usage"
TOOLKIT = Path(sys.executable).with_name("focus-toolkit")


def toolkit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TOOLKIT, *map(str, arguments)], capture_output=True, text=True, check=False)


def validate(file: Path) -> subprocess.CompletedProcess[str]:
    """By the rules for whoever publishes unit prices, of more than one category too."""
    said = ("SupportsUnitPricing", "SupportsMultiplePricingCategories")
    return toolkit("validate", file, *(part for condition in said for part in ("--supports", condition)))


@pytest.mark.parametrize("mode", Mode)
def test_the_toolkit_finds_nothing_wrong_with_1_4(engine: Engine, tmp_path: Path, mode: Mode) -> None:
    spend(engine)
    close(engine, "2025-03")
    late = an_event("late", "2025-03-05T00:00:00Z", output=1)
    record_and_post(engine, late, now="2025-04-02T00:00:00Z")
    for month in ("2025-03", "2025-04"):
        file = csv_file(tmp_path / "focus.csv", engine, focus_export(mode=mode), Scope.checked(month=month))
        found = validate(file)
        assert (found.returncode, found.stderr) == (0, ""), found.stdout
        assert "STRUCTURAL_VALID, SEMANTIC_VALID" in found.stdout


@pytest.mark.parametrize("mode", Mode)
def test_what_the_toolkit_converts_from_1_2_is_right_as_1_4(engine: Engine, tmp_path: Path, mode: Mode) -> None:
    """It knows the columns of 1.2, and judges values by 1.4 only."""
    spend(engine)
    file = csv_file(tmp_path / "focus.csv", engine, focus_export(Version.V1_2, mode), MARCH)
    assert "dataset=Cost and Usage version=1.2" in toolkit("detect", file).stdout

    converted = toolkit("convert", "--cost-and-usage", file, "--source-version", "1.2", "--out", tmp_path / "as-1.4")
    (result,) = (tmp_path / "as-1.4").glob("*cost_and_usage*.csv")
    found = validate(result)
    assert found.returncode == 0, (converted.stdout, converted.stderr, found.stdout)
    with result.open(encoding="utf-8", newline="") as rows:
        assert len([*csv.DictReader(rows)]) == len(exported(engine, focus_export(mode=mode), MARCH))


@pytest.mark.parametrize(
    ("column", "wrong", "rule"),
    [
        ("ContractedCost", "1.11", "ContractedCost must equal ContractedUnitPrice x PricingQuantity"),
        ("ListCost", "1.10000001", "ListCost must equal ListUnitPrice x PricingQuantity"),
        ("ServiceProviderName", "", "ServiceProviderName row 0: value is null/empty"),
        ("ChargePeriodStart", "2025-03-03", "ChargePeriodStart row 0: invalid value"),
        ("SkuPriceDetails", '{"ModelId":"x"}', "SkuPriceDetails row 0: invalid value"),
    ],
)
def test_the_toolkit_would_find_what_is_wrong(
    engine: Engine, tmp_path: Path, column: str, wrong: str, rule: str
) -> None:
    record_and_post(engine, an_event())
    (row,) = csv.DictReader(io.StringIO(as_csv(engine, focus_export(), MARCH), newline=""))
    file = tmp_path / "wrong.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, row)
        writer.writeheader()
        writer.writerow(row | {column: wrong})

    found = validate(file)
    assert found.returncode == 1
    assert rule in found.stdout


@pytest.mark.parametrize("version", Version)
def test_the_header_has_every_mandatory_column_and_none_that_the_version_does_not_know(version: Version) -> None:
    names = [column.name for column in COLUMNS[version]]
    own = [name for name in names if name.startswith("x_")]
    assert len(set(names)) == len(names)
    assert names[-len(own) :] == own, "custom columns stand behind"
    assert mandatory_columns(DATASET, version.value) <= {*names}
    assert {*names} - {*own} <= version_columns(DATASET, version.value)


def test_the_mandatory_columns_are_those_of_the_model_itself() -> None:
    columns = load_model()["datasets"][DATASET]["columns"]
    mandatory = {name for name, column in columns.items() if column["feature_level"] == "Mandatory"}
    assert len(mandatory) == 21
    assert mandatory <= {column.name for column in COLUMNS[Version.V1_4]}
