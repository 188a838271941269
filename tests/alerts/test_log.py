"""The log is told where nothing else is configured: one line, a warning for what is raised; and what is missing."""

from __future__ import annotations

import logging

import pytest

from costmeter.alerts.installed import need
from costmeter.alerts.log import LogChannel
from costmeter.core.errors import SetupError
from tests.alerts.messages import NOTICE_ID, a_message


@pytest.mark.parametrize(("event", "level"), [("raised", "WARNING"), ("recovered", "INFO"), ("digest", "INFO")])
def test_a_message_is_one_line_with_its_notice(caplog: pytest.LogCaptureFixture, event: str, level: str) -> None:
    with caplog.at_level(logging.INFO, logger="costmeter.alerts"):
        LogChannel("log").send(a_message(event=event, budget="search\nERROR forged"))
    (record,) = caplog.records
    assert (record.levelname, record.__dict__["notice"], record.__dict__["kind"]) == (level, NOTICE_ID, "budget")
    assert record.getMessage().startswith("Budget search ERROR forged: ")
    assert "\n" not in record.getMessage()


def test_a_package_that_is_missing_is_named_with_its_remedy() -> None:
    need("mail", "json")
    with pytest.raises(SetupError) as raised:
        need("mail", "json", "no_package_has_this_name")
    remedy = "run pip install 'costmeter[alerts]'"
    assert str(raised.value) == f"a channel of kind mail needs no_package_has_this_name: {remedy}"
