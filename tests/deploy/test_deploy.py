"""What ships beside the package: each file is read by the tool that it is for, and holds what operators rely on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from costmeter.exports.statement_page import PACKAGES
from tests.conftest import missing

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
INSTALLED = "/opt/costmeter/bin/costmeter"
LOCKS = ("server.lock", "build.lock")
MOST_EXPOSED = "20"  # tenths of systemd's own score, from 0 (safe) to 100


def check(*command: object) -> str:
    """What a tool printed; it must have found nothing wrong."""
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def tool(name: str, package: str) -> str:
    """Where a program of the system is."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed; it is in the package {package}")
    return str(found)


def compose() -> Any:
    return YAML(typ="safe").load(DEPLOY / "compose.yaml")


def test_the_dockerfile_passes_its_linter() -> None:
    assert check(BIN / "hadolint", DEPLOY / "Dockerfile") == ""


def test_the_image_runs_as_a_number_and_installs_by_hash() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    installs = re.findall(r"pip install (.*?)(?: \\)?$", text, re.MULTILINE)
    assert installs
    for options in installs:
        assert "--require-hashes" in options or ("--no-deps" in options and "/wheels/" in options)
    # Docker Hub is meant where no registry is named.
    assert all("/" not in image for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("path", ["deploy/Dockerfile", ".ci/run"])
def test_what_statements_need_of_the_system_is_installed(path: str) -> None:
    assert {*PACKAGES} <= {*(ROOT / path).read_text(encoding="utf-8").split()}


def test_every_file_that_the_image_is_made_of_is_there_and_let_through() -> None:
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert copied
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert {f"!{name}", f"!{Path(name).parent}/*{Path(name).suffix}"} & {*let_through}, name


def test_the_compose_file_is_one() -> None:
    check(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_each_service_is_closed_and_watched(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert "privileged" not in service
    assert "cap_add" not in service
    is_ours = service["image"] == "costmeter"
    assert "healthcheck" in service or (is_ours and service["command"][0] == "serve"), "the image's own"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert is_ours or re.search(r":v?\d", service["image"]), "of a version"


def test_what_waits_for_another_waits_for_what_it_needs() -> None:
    services = compose()["services"]
    for name, service in services.items():
        for other, condition in service.get("depends_on", {}).items():
            ends = services[other].get("command", [""])[0] == "db"
            expected = "service_completed_successfully" if ends else "service_healthy"
            assert condition["condition"] == expected, f"{name} waits for {other}"


def test_secrets_come_from_files_that_git_does_not_see() -> None:
    described = compose()
    used = {secret for service in described["services"].values() for secret in service.get("secrets", ())}
    assert used == {*described["secrets"]}
    files = [DEPLOY / secret["file"] for secret in described["secrets"].values()]
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert len(ignored.stdout.splitlines()) == len(files)
    for service in described["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|_URL|KEY", name):
                assert name.endswith("_FILE"), name
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_prometheus_reads_its_configuration() -> None:
    check(tool("promtool", "prometheus"), "check", "config", "--syntax-only", DEPLOY / "prometheus.yml")


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units as they would be where costmeter is installed: here."""
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        assert INSTALLED in text
        (tmp_path / unit.name).write_text(text.replace(INSTALLED, str(BIN / "costmeter")), encoding="utf-8")
    return sorted(tmp_path.glob("*.service"))


def test_systemd_finds_nothing_wrong_with_the_units(units: list[Path]) -> None:
    assert [unit.name for unit in units] == ["costmeter-scheduler.service", "costmeter-serve.service"]
    found = check(tool("systemd-analyze", "systemd"), "verify", "--man=no", *units)
    ours = [line for line in found.splitlines() if "costmeter" in line]
    assert ours == []


def test_the_units_are_hardened(units: list[Path]) -> None:
    analyze = tool("systemd-analyze", "systemd")
    for unit in units:
        check(analyze, "security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED}", unit)


def pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """The version of each package of a lock, with its marker, and the hashes that are good for it."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for entry in re.split(r"\n(?=[a-z0-9])", path.read_text(encoding="utf-8")):
        name, _, rest = entry.partition("==")
        found[canonicalize_name(name)] = (rest.split()[0], frozenset(re.findall(r"sha256:[0-9a-f]{64}", entry)))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_the_image_installs_nothing_that_was_not_tested(name: str) -> None:
    tested, installed = pins(ROOT / "requirements.lock"), pins(DEPLOY / name)
    assert installed
    assert {package: pin for package, pin in installed.items() if tested.get(package) != pin} == {}
    assert all(hashes for _, hashes in installed.values())


def test_the_image_has_all_that_the_service_needs_and_no_tests() -> None:
    """What the metadata of the installed packages asks for on this machine, followed to its end."""
    needed: set[str] = set()
    waiting = [Requirement("costmeter[server,postgres]")]
    while waiting:
        asked = waiting.pop()
        for text in distribution(asked.name).requires or ():
            requirement = Requirement(text)
            wanted = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in asked.extras | {""}
            )
            key = f"{canonicalize_name(requirement.name)}[{','.join(sorted(requirement.extras))}]"
            if wanted and key not in needed:
                needed.add(key)
                waiting.append(requirement)
    locked = pins(DEPLOY / "server.lock")
    assert {key.partition("[")[0] for key in needed} - {*locked} == set()
    assert not {"pytest", "hypothesis", "mypy", "openai", "schemathesis", "pip"} & {*locked}


@pytest.mark.parametrize("name", LOCKS)
def test_the_locks_of_the_image_name_no_host(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|file:|--(extra-)?index-url", text)
