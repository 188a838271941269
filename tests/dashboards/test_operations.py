"""Every question of the dashboard *Operations*, and every rule, is answered by a real Prometheus of real processes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.api.serving import until
from tests.conftest import database_of
from tests.dashboards.boards import DASHBOARDS, as_promql, board, questions
from tests.dashboards.running import Site, program, running

OURS = re.compile(r"\bcostmeter_\w+")
QUESTIONS = questions("operations")
WARNED = "CostmeterJobFailing"  # by the job that checks the price book, while a calendar ends within 60 days


@pytest.fixture(scope="module")
def site(postgres_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    program("prometheus")
    with database_of(postgres_template) as url, running(url, tmp_path_factory.mktemp("site")) as found:
        yield found


def rules() -> list[dict[str, Any]]:
    files = [YAML(typ="safe").load(DASHBOARDS / "prometheus" / name) for name in ("recording.yml", "alerts.yml")]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def texts_of() -> tuple[list[str], list[str]]:
    """What the dashboard asks, and what the rules do."""
    return [asked.text for asked in QUESTIONS], [rule["expr"] for rule in rules()]


@pytest.mark.parametrize("place", range(len(QUESTIONS)), ids=[asked.panel for asked in QUESTIONS])
def test_every_question_is_answered(place: int, site: Site) -> None:
    asked = as_promql(QUESTIONS[place].text)
    assert until(lambda: site.ask(asked)), QUESTIONS[place].panel


def test_the_jobs_to_choose_from_are_those_that_are_scraped(site: Site) -> None:
    (variable,) = [one for one in board("operations")["templating"]["list"] if one["type"] == "query"]
    (matched,) = re.findall(r"^label_values\((.*), job\)$", variable["query"]["query"])

    def jobs() -> bool:
        return {one["job"] for one in site.get("series", **{"match[]": matched})} == {"costmeter", "costmeter-gateway"}

    assert until(jobs)


def test_one_job_can_be_chosen(site: Site) -> None:
    for asked in QUESTIONS:
        site.ask(as_promql(asked.text, job="costmeter|none"))


def test_every_name_is_one_that_is_exposed(site: Site) -> None:
    """Of the dashboard and of the rules alike; and nothing that an operator needs is told to nobody."""
    exposed = {*re.findall(r"^(costmeter_\w+)", site.figures(), re.MULTILINE)}
    asked, ruled = (
        {name for text in texts for name in OURS.findall(re.sub('".*?"', "", text))} for texts in texts_of()
    )
    assert asked | ruled <= exposed
    exposed = {name for name in exposed if not name.endswith("_created")}  # when a counter began
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed}
    told = {name.removesuffix("_bucket") for name in asked | ruled}
    assert families - told == {"costmeter_build_info"}


def test_the_recorded_rules_are_asked_for_by_their_names(site: Site) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for texts in texts_of() for text in texts for name in re.findall(r"costmeter:\w+:\w+", text)}
    assert used == recorded
    for name in recorded:
        assert until(lambda: site.ask(name)), name  # noqa: B023  asked at once


def test_prometheus_works_out_every_rule_without_an_error(site: Site) -> None:
    def all_worked_out() -> list[dict[str, Any]] | None:
        found = [rule for group in site.get("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else None

    found = until(all_worked_out)
    assert {(rule["name"], rule["health"]) for rule in found} == {
        (rule.get("alert") or rule["record"], "ok") for rule in rules()
    }


def test_what_stands_is_what_it_should_be(site: Site) -> None:
    """Nobody runs a scheduler, and something is in quarantine; nothing else is wrong but what calls were made to be."""

    def standing() -> set[str]:
        return {one["metric"]["alertname"] for one in site.ask("ALERTS")}

    assert until(lambda: standing() >= {"CostmeterSchedulerSilent", "CostmeterQuarantineWaits"})
    by_calls = {"CostmeterGatewayRefuses", "CostmeterUpstreamErrors"}
    assert standing() <= {"CostmeterSchedulerSilent", "CostmeterQuarantineWaits", WARNED, *by_calls}


def test_both_targets_are_up(site: Site) -> None:
    assert until(lambda: {one["metric"]["job"] for one in site.ask("up == 1")} == {"costmeter", "costmeter-gateway"})


def test_no_figure_names_an_account_a_key_or_a_project(site: Site) -> None:
    labels = {name for one in site.get("series", **{"match[]": '{__name__=~"costmeter_.+"}'}) for name in one}
    own = {"__name__", "instance", "job"}
    allowed = {
        "route",
        "method",
        "status",
        "le",
        "outcome",
        "reason",
        "code",
        "kind",
        "exported_job",
        "version",
        "edition",
    }
    assert labels <= own | allowed
