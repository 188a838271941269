"""`costmeter import export`: what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path

from tests.cli.running import Run, write
from tests.exported import amount_row, an_export, cost_row
from tests.make import an_event

MARCH = "2025-03-03T00:00:00Z,2025-03-04T00:00:00Z"


def test_rows_are_counted_and_nothing_counts_twice(run: Run, database: str, tmp_path: Path) -> None:
    path = an_export(tmp_path / "e.zip", [amount_row()], [cost_row()])
    assert run("import", "export", path).done.splitlines() == [
        "accepted            2",
        "duplicates          0",
        "conflicts           0",
        "refused             0",
    ]
    assert run("import", "export", path, "--json").json == {
        "accepted": 0, "duplicates": 2, "conflicts": 0, "refused": 0, "rows": [],
    }  # fmt: skip


def test_what_is_refused_is_told_and_the_rest_is_done(run: Run, sqlite: str, tmp_path: Path) -> None:
    ran = run("import", "export", an_export(tmp_path / "e.zip", [amount_row(), amount_row("x")], []))
    assert ran.code == 1
    assert ran.err.startswith("amount-2026-09-01_2026-09-02.csv:3: refused: amount 'x': is no whole number")
    assert ran.out.splitlines()[0] == "accepted            1"


def test_it_ends_by_2_where_no_row_could_be_used(run: Run, sqlite: str, tmp_path: Path) -> None:
    run("record", write(tmp_path / "calls.ndjson", an_event()))
    ran = run("import", "export", an_export(tmp_path / "e.zip", [amount_row(time=MARCH)] * 30, []), "--by", "Ada")
    assert ran.code == 2
    assert "... and 10 more; --json lists them all" in ran.err


def test_an_import_is_listed_and_taken_back(run: Run, database: str, tmp_path: Path) -> None:
    run("import", "export", an_export(tmp_path / "e.zip", [amount_row()], []), "--by", "Ada")
    (listed,) = run("import", "list", "--json").json
    assert (listed["file"], listed["by"], listed["voided"]) == ("e.zip", "Ada", None)
    said = run("import", "void", listed["import"], "--reason", "of another team", "--by", "Bo").done
    assert said == "voided the import of e.zip\n"
    assert "Bo: of another team" in run("import", "list").done
    assert run("import", "void", listed["import"], "--reason", "again").refused.endswith("by Bo: of another team")


def test_doctor_tells_of_calls_that_were_recorded_into_imported_days(run: Run, sqlite: str, tmp_path: Path) -> None:
    run("import", "export", an_export(tmp_path / "e.zip", [amount_row(time=MARCH)], []))
    assert run("doctor").code == 0
    run("record", write(tmp_path / "calls.ndjson", an_event()))
    ran = run("doctor")
    assert ran.code == 1
    first = "the first 2025-03-03T00:00:00Z to 2025-03-04T00:00:00Z; they count twice: void the import"
    assert f"account default has recorded calls in 1 imported intervals, {first}" in ran.out


def test_what_is_no_export_is_one_line(run: Run, sqlite: str, tmp_path: Path) -> None:
    (tmp_path / "e.zip").write_text("none")
    assert run("import", "export", tmp_path / "e.zip").refused.startswith("file 'e.zip': is no ZIP that can be read")
