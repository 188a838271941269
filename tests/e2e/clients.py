"""Callers in several languages, who ask for everything that DeepSeek offers and tell what they saw."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from anthropic import Anthropic
from openai import APIStatusError, OpenAI

from tests.conftest import missing

NODE = Path(__file__).parent / "node"
ASKED: Any = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
FAULTS = ("402", "429;retry_after=0", "503")
# Of one connection, and what differs from answer to answer.
_HOP = ("connection", "keep-alive", "transfer-encoding")
_ONCE = ("date", "x-ds-trace-id")
_IDS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{24,}"
    r'|(?<=_balance":")-?\d+\.\d+'  # the calls in between have cost something
    r'|(?<="created":)\d+|(?<="created_at":)\d+(\.\d+)?|(?<="completed_at":)\d+(\.\d+)?'
)


class Seen(NamedTuple):
    """What a caller saw of an answer."""

    path: str
    status: int
    headers: dict[str, str]
    body: str

    def comparable(self) -> Seen:
        """Without what no two answers have in common, and without what the gateway says of itself."""
        headers = {
            name: "" if name in _ONCE else value
            for name, value in self.headers.items()
            if name not in _HOP and not name.startswith("x-costmeter-")
        }
        if self.path == "/user/balance":
            del headers["content-length"]  # a balance of 1000.00 is longer than the next one
        return Seen(self.path, self.status, headers, _IDS.sub("*", self.body))


def ask_in_python(base_url: str, api_key: str) -> list[Seen]:
    """With the SDKs of OpenAI and Anthropic."""
    seen: list[Seen] = []

    def watch(response: httpx2.Response) -> None:
        response.read()
        path = response.request.url.path
        seen.append(Seen(path, response.status_code, dict(response.headers), response.text))

    hooks = {"response": [watch]}
    own = {"x-costmeter-project": "python"}
    with httpx2.Client(event_hooks=hooks, timeout=30) as http:
        common: Any = {"api_key": api_key, "http_client": http, "max_retries": 1, "default_headers": own}
        client, beta = OpenAI(base_url=base_url, **common), OpenAI(base_url=f"{base_url}/beta", **common)
        assert client.chat.completions.create(**ASKED).usage
        assert list(client.chat.completions.create(**ASKED, stream=True))[-1].usage
        assert beta.completions.create(model=ASKED["model"], prompt="def f(", suffix="return 1", max_tokens=20).usage
        assert client.responses.create(model=ASKED["model"], input="Hello").usage
        assert list(client.responses.create(model=ASKED["model"], input="Hello", stream=True))
        assert client.models.list().data
        assert client.get("/user/balance", cast_to=dict[str, Any])["is_available"]
        for fault in FAULTS:
            with pytest.raises(APIStatusError):
                client.chat.completions.create(**ASKED, extra_headers={"x-simulator-fault": fault})
        claude = Anthropic(base_url=f"{base_url}/anthropic", **common)
        assert claude.messages.create(**ASKED).usage
        assert list(claude.messages.create(**ASKED, stream=True))
        assert claude.messages.count_tokens(model=ASKED["model"], messages=ASKED["messages"]).input_tokens
    return [one._replace(path=one.path.removeprefix(httpx2.URL(base_url).path.rstrip("/"))) for one in seen]


def ask_with_curl(base_url: str, api_key: str, folder: Path) -> list[Seen]:
    """As DeepSeek's documents show it."""
    if shutil.which("curl") is None:
        missing("curl is not installed")
    asks: list[tuple[str, Any, list[str]]] = [
        ("/chat/completions", ASKED, []),
        ("/v1/chat/completions", {**ASKED, "stream": True}, []),
        ("/beta/completions", {"model": ASKED["model"], "prompt": "def f(", "max_tokens": 20}, []),
        ("/anthropic/v1/messages", ASKED, []),
        ("/models", None, []),
        ("/user/balance", None, []),
        *(("/chat/completions", ASKED, ["-H", f"x-simulator-fault: {fault}"]) for fault in FAULTS),
    ]
    return [_curl(base_url, api_key, folder, path, body, more) for path, body, more in asks]


def _curl(base_url: str, api_key: str, folder: Path, path: str, body: Any, more: list[str]) -> Seen:
    sent = [] if body is None else ["-H", "content-type: application/json", "-d", json.dumps(body)]
    said = ["-H", f"authorization: Bearer {api_key}", "-H", "x-costmeter-project: curl", *sent, *more]
    head, answer = folder / "head", folder / "answer"
    command = ["curl", "-sS", "-N", "-D", str(head), "-o", str(answer), "-w", "%{http_code}", *said, base_url + path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = head.read_text("latin-1").splitlines()[1:]
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    return Seen(path, int(done.stdout), headers, answer.read_text("utf-8"))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of tests/e2e/node with the packages of its lock."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node") / "costmeter"
    shutil.copytree(NODE, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        missing(f"npm could not install the packages of the lock: {done.stderr[-500:]}")
    return folder / "ask.mjs"


def run_node(program: Path, base_url: str, api_key: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(program.parent), "BASE_URL": base_url, "API_KEY": api_key}
    return subprocess.Popen(["node", str(program), *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def ask_in_node(program: Path, base_url: str, api_key: str) -> tuple[dict[str, Any], list[Seen]]:
    """With the npm package of OpenAI: what it made of the answers, and these."""
    with run_node(program, base_url, api_key) as running:
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    said = json.loads(told)
    return said["results"], [Seen(**entry) for entry in said["seen"]]


def pieces_in_node(program: Path, base_url: str, api_key: str, path: str) -> Iterator[str]:
    """The answer at a path, piece by piece as it comes."""
    with run_node(program, base_url, api_key, path) as running:
        assert running.stdout is not None
        for line in running.stdout:
            yield json.loads(line)


def pieces_with_curl(base_url: str, path: str) -> Iterator[str]:
    command = ["curl", "-sS", "-N", "-d", json.dumps(ASKED), base_url + path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        while piece := os.read(running.stdout.fileno(), 1 << 16):
            yield piece.decode()


def pieces_in_python(base_url: str, path: str) -> Iterator[str]:
    with httpx2.stream("POST", base_url + path, json=ASKED, timeout=30) as response:
        for piece in response.iter_raw():
            yield piece.decode()
