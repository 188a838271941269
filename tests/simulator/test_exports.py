"""The console's export of the simulator's books: two files that agree with each other and with the ledger."""

from __future__ import annotations

import csv
import io
import zipfile
from decimal import Decimal

import httpx2
import pytest
from openai import OpenAI

from costmeter.simulator import BadInputError, Simulator, SimulatorClock
from costmeter.simulator.exports import export_zip

from .asking import ask


def tables(zipped: bytes) -> dict[str, list[dict[str, str]]]:
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        texts = {name: archive.read(name).decode("utf-8-sig") for name in archive.namelist()}
    assert all(text.count("\n") == text.count("\r\n") for text in texts.values())
    return {name: list(csv.DictReader(io.StringIO(text))) for name, text in texts.items()}


@pytest.mark.parametrize(
    ("asked", "names", "time"),
    [
        ({"form": "old"}, ["amount-2025-3.csv", "cost-2025-3.csv"], ("20250301",)),
        (
            {"offset_minutes": "480"},
            ["amount-2025-03-01_2025-03-01.csv", "cost-2025-03-01_2025-03-01.csv"],
            ("2025-03-01T00:00:00+08:00", "2025-03-02T00:00:00+08:00"),
        ),
        (
            {"hours": "1"},
            ["amount-2025-03-01_2025-03-01.csv", "cost-2025-03-01_2025-03-01.csv"],
            ("2025-03-01T12:00:00+00:00", "2025-03-01T13:00:00+00:00"),
        ),
    ],
)
def test_both_generations_tell_of_every_call(
    asked: dict[str, str], names: list[str], time: tuple[str, ...], http: httpx2.Client, client: OpenAI
) -> None:
    answers = [ask(client, model="deepseek-reasoner", max_tokens=40) for _ in range(2)]
    found = tables(http.get("/_simulator/export", params=asked).content)
    assert sorted(found) == names
    amounts, costs = (found[name] for name in names)
    assert {tuple(row[name] for name in row if name.endswith(("iso", "date"))) for row in (*amounts, *costs)} == {time}
    by_type = {row["type"]: int(row["amount"]) for row in amounts}
    assert by_type["request_count"] == 2
    assert by_type["output_tokens"] == sum(answer.usage.completion_tokens for answer in answers if answer.usage)
    priced = sum(Decimal(row["price"] or 0) * int(row["amount"]) for row in amounts)
    charged = Decimal(http.get("/_simulator/ledger").json()["charged"])
    assert priced == sum(Decimal(row["cost"]) for row in costs) == charged
    assert [row["wallet_type"] for row in costs] == ["Paid"]
    assert "," in amounts[0]["api_key_name"]  # so that a reader must know of quotes


def test_the_costs_are_told_by_wallet(clock: SimulatorClock) -> None:
    with Simulator(clock, granted="0.0001", topped_up="10") as simulator:
        with OpenAI(api_key="sk-test", base_url=simulator.base_url, max_retries=0) as client:
            ask(client)
        costs = tables(export_zip(simulator.ledger.calls, "USD"))["cost-2025-03-01_2025-03-01.csv"]
    assert [(row["wallet_type"], len(row["cost"].partition(".")[2])) for row in costs] == [
        ("Granted", 16),
        ("Paid", 16),
    ]
    assert costs[0]["cost"] == "0.0001000000000000"


def test_no_calls_are_two_files_without_rows() -> None:
    assert {name: len(rows) for name, rows in tables(export_zip((), "USD")).items()} == {
        "amount-empty.csv": 0,
        "cost-empty.csv": 0,
    }


@pytest.mark.parametrize("asked", [{"form": "newer"}, {"hours": 2}, {"offset_minutes": 900}])
def test_what_there_is_not_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="choose"):
        export_zip((), "USD", **asked)  # type: ignore[arg-type]  # that is the point


def test_a_number_that_is_none_is_refused_by_the_route(http: httpx2.Client) -> None:
    assert http.get("/_simulator/export", params={"hours": "many"}).status_code == 400
