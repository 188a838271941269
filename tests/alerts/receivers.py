"""Real receivers on loopback: an HTTP server with bad manners, and a mail server with a certificate of its own."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "costmeter", "correct horse battery staple"


class Post(NamedTuple):
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[["Handler"], None]


class Hook:
    """An HTTP server that keeps what is posted to it and answers as it is told to; 204 where it is told nothing."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answers: list[Answer | int] = []  # one each request, then the last for ever
        self.let_go = threading.Event()  # what stalls waits for this
        self._server = _Server(self)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hooks/token-of-the-hook"

    def keep(self, post: Post) -> Answer | int:
        with self._lock:
            self.posts.append(post)
            if len(self.answers) > 1:
                return self.answers.pop(0)
            return self.answers[0] if self.answers else 204

    @contextmanager
    def served(self) -> Iterator[Hook]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.let_go.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    """The server of one hook."""

    daemon_threads = True

    def __init__(self, hook: Hook) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hook = hook


class Handler(BaseHTTPRequestHandler):
    """Answers with a status, or in a way of its own."""

    @property
    def hook(self) -> Hook:
        assert isinstance(self.server, _Server)
        return self.server.hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hook = self.hook
        answer = hook.keep(Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if callable(answer):
            answer(self)
        else:
            self.answer(answer)

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: what came is kept."""


def stall(handler: Handler) -> None:
    """Say nothing until the test is over."""
    handler.hook.let_go.wait(60)


def drip(handler: Handler) -> None:
    """Say a little of the head of an answer now and then, and never all of it."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not handler.hook.let_go.wait(0.05):
        handler.wfile.write(b"x: y\r\n")


def hang_up(handler: Handler) -> None:
    """Close in the middle of the head of an answer."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-")
    handler.close_connection = True


def hang_up_at_once(handler: Handler) -> None:
    """Close without an answer."""
    handler.close_connection = True


def hang_up_in_the_body(handler: Handler) -> None:
    """Close in the middle of the body of an answer that has accepted."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome")
    handler.close_connection = True


class Inbox:
    """What a mail server does with mail: keeps it, unless it is told to refuse a recipient or the content."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.refused: dict[str, str] = {}  # an address, and what it is refused by
        self.content: str | None = None  # what every content is refused by
        self.was_safe: list[bool] = []

    async def handle_RCPT(  # noqa: N802  the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  likewise
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert server.transport is not None
        self.was_safe.append(server.transport.get_extra_info("ssl_object") is not None)
        if self.content is not None:
            return self.content
        parsed = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append((list(envelope.rcpt_tos), parsed))
        return "250 2.0.0 queued"


class Certificates(NamedTuple):
    """What a server shows, and the file by which a client trusts it."""

    context: ssl.SSLContext
    trusted: Path


def certificates(folder: Path) -> Certificates:
    """A certificate for localhost of an authority of its own."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    trusted = folder / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    return Certificates(context, trusted)


def free_port() -> int:
    """A port that is free now: a mail server must be told one."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def mail_server(inbox: Inbox, *, tls: str, context: ssl.SSLContext | None = None, login: bool = False) -> Iterator[int]:
    """A mail server on localhost: `tls` from the first byte, by `starttls`, or `none`; its port."""
    options: dict[str, Any] = {"hostname": "localhost", "port": free_port()}
    if login:
        options |= {"authenticator": _is_known, "auth_required": True, "auth_require_tls": tls != "none"}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if tls == "tls":
        options |= {"ssl_context": context, "auth_require_tls": False} if login else {"ssl_context": context}
    controller = Controller(inbox, **options)
    controller.start()
    try:
        yield int(options["port"])
    finally:
        controller.stop()


def _is_known(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)
