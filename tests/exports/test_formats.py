"""Every format read back by a reader that is not ours: csv, json, pandas, openpyxl, pyarrow, LibreOffice."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from openpyxl.utils.escape import unescape
from pyarrow import parquet
from sqlalchemy import Engine

from costmeter.core.errors import InputError
from costmeter.exports import xlsx
from costmeter.exports.content import Content
from costmeter.exports.export import Column, Export, Kind
from costmeter.exports.format import Format, parts
from costmeter.exports.kinds import EXPORTS
from costmeter.exports.spreadsheet import PRESETS
from costmeter.store.engine import reading
from tests.conftest import missing
from tests.exports.books import MARCH, NASTY, digest, keep, written

CHARGES, USAGE = EXPORTS["charges"], EXPORTS["usage"]
BOTH = [CHARGES, USAGE]
MONEY = [column.name for column in CHARGES.columns if column.kind is Kind.MONEY]
# One column of each kind, with what is at their edges.
EDGES = Export(
    "edges",
    (
        Column("text", Kind.TEXT),
        Column("count", Kind.INTEGER),
        Column("money", Kind.MONEY),
        Column("quantity", Kind.QUANTITY),
        Column("at", Kind.INSTANT),
        Column("day", Kind.DAY),
    ),
    lambda _connection, _scope: iter(EDGE_ROWS),
    guarded=False,
)
AT, DAY = datetime(2025, 3, 3, 17, 0, 0, 1, tzinfo=UTC), date(2025, 3, 3)
EDGE_ROWS: list[tuple[Any, ...]] = [
    ("=1", -(2**62), 2**63 + 1, Decimal("0.000001"), AT, DAY),
    ("-", 0, -(10**25) - 1, Decimal("1.50"), AT.replace(microsecond=0), date(1970, 1, 1)),
    (None, None, None, None, None, None),
]


def plain(engine: Engine, export: Export = CHARGES) -> list[dict[str, str]]:
    """The rows as CSV has them."""
    return [*csv.DictReader(io.StringIO(written(engine, export).decode(), newline=""))]


def test_jsonl_says_what_csv_says(engine: Engine) -> None:
    keep(engine)
    for export in BOTH:
        rows = [json.loads(line) for line in written(engine, export, Format.JSONL).decode().split("\n")[:-1]]
        assert [[*row] for row in rows] == [[column.name for column in export.columns]] * len(rows)
        unguarded = [{name: str(value or "") for name, value in row.items() if value != 0} for row in rows]
        told = [{name: text for name, text in row.items() if text != "0"} for row in plain(engine, export)]
        assert [{n: t.removeprefix("'") if len(t) > 1 else t for n, t in row.items()} for row in told] == unguarded


def test_parquet_has_exact_decimals_and_instants_of_utc(engine: Engine) -> None:
    keep(engine)
    table = parquet.read_table(io.BytesIO(written(engine, CHARGES, Format.PARQUET)))
    assert str(table.schema.field("cost").type) == "decimal128(38, 12)"
    assert str(table.schema.field("completed_at").type) == "timestamp[us, tz=UTC]"
    rows = table.to_pylist()
    assert [row["project"] for row in rows][-len(NASTY) :] == [*NASTY], "no guard against formulas"
    for row, told in zip(rows, plain(engine), strict=True):
        assert [row[name] for name in MONEY] == [Decimal(told[name]) if told[name] else None for name in MONEY]
        assert row["completed_at"] == datetime.fromisoformat(told["completed_at"])
    with reading(engine) as connection:
        edges = b"".join(parts(Content(connection, EDGES, MARCH), Format.PARQUET))
    first, second, third = parquet.read_table(io.BytesIO(edges)).to_pylist()
    assert [*first.values()] == ["=1", -(2**62), Decimal(2**63 + 1).scaleb(-12), Decimal("0.000001"), AT, DAY]
    assert second["money"] == Decimal(-(10**25) - 1).scaleb(-12)
    assert {*third.values()} == {None}


def test_parquet_and_xlsx_carry_the_digest_of_the_canonical_csv(engine: Engine) -> None:
    keep(engine)
    for export in BOTH:
        expected = digest(engine, export)
        made = parquet.read_metadata(io.BytesIO(written(engine, export, Format.PARQUET))).metadata
        assert made[b"costmeter.content_sha256"].decode() == expected
        book = openpyxl.load_workbook(io.BytesIO(written(engine, export, Format.XLSX)))
        assert book.custom_doc_props["costmeter.content_sha256"].value == expected
    with reading(engine) as connection:  # nothing to guard: the file is its own canonical rendition
        content = Content(connection, EDGES, MARCH)
        assert hashlib.sha256(b"".join(parts(content, Format.CSV))).hexdigest() == content.sha256


def test_a_workbook_has_numbers_texts_and_totals(engine: Engine) -> None:
    keep(engine)
    book = openpyxl.load_workbook(io.BytesIO(written(engine, CHARGES, Format.XLSX)))
    assert book.sheetnames == ["charges", "about"]
    sheet = book["charges"]
    assert sheet.freeze_panes == "A2"
    header, *rows, totals = [[*row] for row in sheet.iter_rows()]
    names = [cell.value for cell in header]
    assert names == [*(column.name for column in CHARGES.columns), "exact"]
    told = plain(engine)
    for row, expected in zip(rows, told, strict=True):
        cells = dict(zip(names, row, strict=True))
        for name in MONEY:
            value = cells[name].value
            assert value is None if expected[name] == "" else Decimal(repr(value)) == Decimal(expected[name])
            assert cells[name].data_type == "n"
        assert cells["project"].data_type == ("s" if cells["project"].value else "n"), "never a formula"
        assert cells["project"].hyperlink is None
    projects = [unescape(row[names.index("project")].value or "") for row in rows]
    assert projects[-len(NASTY) :] == [*NASTY]
    sums = dict(zip(names, (cell.value for cell in totals), strict=True))
    assert sums["event_id"] == "total"
    for name in MONEY:
        assert Decimal(repr(sums[name])) == sum(Decimal(row[name] or 0) for row in told)


def test_a_workbook_says_what_a_spreadsheet_cannot_hold(engine: Engine) -> None:
    with reading(engine) as connection:
        file = b"".join(parts(Content(connection, EDGES, MARCH), Format.XLSX))
    book = openpyxl.load_workbook(io.BytesIO(file))
    _, first, second, third, totals = [[cell.value for cell in row] for row in book["edges"].iter_rows()]
    assert first[0] == "=1"
    numbers = f"count={-(2**62)}; money=9223372.036854775809"
    assert first[3:] == [0.000001, "2025-03-03T17:00:00.000001Z", datetime.fromisoformat("2025-03-03"), numbers]
    assert second[-1] == "money=-10000000000000.000000000001"
    assert third == [None] * 7
    about = {row[0].value: row[1].value for row in book["about"].iter_rows()}
    assert about["total money"] == "-9999990776627.963145224192"
    assert totals[-1] == f"count={-(2**62)}; money=-9999990776627.963145224192"


def test_a_full_sheet_is_followed_by_another(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(engine)
    monkeypatch.setattr(xlsx, "SHEET_ROWS", 10)
    book = openpyxl.load_workbook(io.BytesIO(written(engine, CHARGES, Format.XLSX)))
    ids = [row["event_id"] for row in plain(engine)]
    assert book.sheetnames == ["charges", "charges 2", "charges 3", "about"], "the totals need a sheet of their own"
    found = [cell.value for name in book.sheetnames[:-1] for (cell,) in book[name].iter_rows(min_row=2, max_col=1)]
    assert found == [*ids, "total"]


@pytest.mark.parametrize("locale", ["en", "de", "de-CH", "fr_FR"])
def test_a_preset_is_read_by_the_excel_of_its_locale(engine: Engine, locale: str) -> None:
    keep(engine)
    preset = PRESETS.get(locale.lower()) or PRESETS[locale[:2]]
    file = written(engine, CHARGES, excel=locale)
    assert file.startswith(b"\xef\xbb\xbfevent_id" + preset.delimiter.encode())
    frame = pd.read_csv(io.BytesIO(file), sep=preset.delimiter, decimal=preset.decimal_sign, encoding="utf-8-sig")
    told = plain(engine)
    assert [*frame["cost"].fillna(0)] == pytest.approx([float(row["cost"] or 0) for row in told])
    rows = [*csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline=""), delimiter=preset.delimiter)]
    assert [row["project"] for row in rows] == [row["project"] for row in told]
    assert [row["topped_up"].replace(",", ".") for row in rows] == [row["topped_up"] for row in told]
    assert rows[0]["topped_up"][:2] == "-0", "a negative number is no formula"


def test_a_preset_that_cannot_be_is_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match=r"^excel 'xx': use one of cs, "):
        written(engine, CHARGES, excel="xx")
    with pytest.raises(InputError, match=r"^excel 'de': is a preset for csv; leave it out for jsonl$"):
        written(engine, CHARGES, Format.JSONL, excel="de")


def test_an_export_for_programs_is_not_guarded_but_for_a_spreadsheet(engine: Engine) -> None:
    with reading(engine) as connection:
        assert b"\r\n=1," in b"".join(parts(Content(connection, EDGES, MARCH), Format.CSV))
        assert b"\r\n'=1;" in b"".join(parts(Content(connection, EDGES, MARCH), Format.CSV, "de"))


def test_libreoffice_opens_the_workbook(engine: Engine, tmp_path: Path) -> None:
    soffice = shutil.which("soffice") or ""
    if not soffice:
        missing("soffice is not installed (Debian: libreoffice-calc-nogui)")
    keep(engine)
    (tmp_path / "usage.xlsx").write_bytes(written(engine, USAGE, Format.XLSX))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    as_utf8 = "csv:Text - txt - csv (StarCalc):44,34,76"
    convert: list[str | Path] = [soffice, profile, "--headless", "--convert-to", as_utf8, "--outdir", tmp_path]
    subprocess.run([*convert, tmp_path / "usage.xlsx"], check=True, capture_output=True, timeout=300)
    with (tmp_path / "usage.csv").open(encoding="utf-8", newline="") as file:
        header, *rows, totals = csv.reader(file)
    told = plain(engine, USAGE)
    assert header[:2] == ["day", "account"]
    assert [row[0] for row in rows] == [row["day"] for row in told]
    cost = header.index("cost")
    assert [Decimal(row[cost] or 0) for row in rows] == [Decimal(row["cost"] or 0) for row in told]
    assert Decimal(totals[cost]) == sum(Decimal(row["cost"] or 0) for row in told)
    assert [row[header.index("project")] for row in rows[5:7]] == ["\t=1", "\r=1"], "texts, and no formulas"
