"""Tables: what users wrote stands as they wrote it, and no amount is cut."""

from __future__ import annotations

import pytest

from costmeter.cli.output import print_table


def test_what_looks_like_markup_stands_as_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"name": "left"}, [["a[/b]"], ["[red]x"], ["u:smile:"]])
    printed = capsys.readouterr().out

    assert all(text in printed for text in ("a[/b]", "[red]x", "u:smile:"))


def test_what_would_steer_a_terminal_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"name": "left"}, [["a\x1b[2Jb"]])

    assert "\x1b" not in capsys.readouterr().out


def test_no_amount_is_cut_however_wide_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {f"c{number}": "left" for number in range(12)} | {"cost": "amount"}
    print_table(columns, [["x" * 256] * 12 + ["123456789.123456789012"]])

    assert "123456789.123456789012" in capsys.readouterr().out
