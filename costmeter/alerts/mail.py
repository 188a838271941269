"""Mail over SMTP with TLS: text, HTML and the chart as a picture inside it."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import NamedTuple

from costmeter.alerts.installed import need
from costmeter.alerts.mail_page import mail_html
from costmeter.core.errors import RefusedError, UnreachableError
from costmeter.core.notices import Chart, Message, as_text, one_line

log = logging.getLogger("costmeter.alerts")
SECONDS = 15.0  # for each answer of the server
LONGEST_ANSWER = 200
_POLICY = SMTP.clone(cte_type="7bit")  # what every server takes
_DONE = 250


class MailServer(NamedTuple):
    """Where mail is handed in. `tls`: "tls" from the first byte on, "starttls", or "none" where that was asked for."""

    host: str
    port: int
    tls: str
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"MailServer({self.host}:{self.port}, {self.tls})"


class MailChannel:
    """Hands a message in for its recipients; its Message-ID is made of the notice's id, the same at every attempt.

    Without TLS nothing is sent, a password least of all, unless the server was set up as one without it.
    """

    kind = "mail"

    def __init__(
        self,
        name: str,
        server: MailServer,
        sender: str,
        recipients: Sequence[str],
        *,
        draw: Callable[[Chart], bytes],
        seconds: float = SECONDS,
    ) -> None:
        need("mail", "jinja2", "altair", "vl_convert")
        self.name = name
        self._server, self._sender, self._recipients = server, sender, list(recipients)
        self._draw, self._seconds = draw, seconds
        self._told: dict[str, set[str]] = {}  # who has a message that some others could not be given yet

    def send(self, message: Message) -> None:
        """Returns once the server has taken it for every recipient that it will ever take it for."""
        mail = mail_of(message, self._sender, self._recipients, self._draw).as_bytes()
        where = f"{self._server.host}:{self._server.port}"
        try:
            smtp = _connected(self._server, self._seconds)
            try:
                self._hand_in(smtp, message.notice_id, mail)
            finally:
                with suppress(smtplib.SMTPException, OSError):  # whatever it says to that, it has answered before
                    smtp.quit()
        except smtplib.SMTPDataError as error:
            wrong = RefusedError if error.smtp_code >= 500 else UnreachableError
            raise wrong(f"{where} does not take it: {_said(error)}") from None
        except smtplib.SMTPException as error:
            raise UnreachableError(f"{where} does not take it: {_said(error)}") from None
        except OSError as error:
            raise UnreachableError(f"{where} cannot be reached: {_reason(error)}") from None

    def _hand_in(self, smtp: smtplib.SMTP, notice_id: str, mail: bytes) -> None:
        """Give it to those who do not have it yet."""
        told = self._told.setdefault(notice_id, set())
        code, said = smtp.mail(parseaddr(self._sender)[1])
        if code != _DONE:
            raise smtplib.SMTPSenderRefused(code, said, self._sender)
        answers = {one: smtp.rcpt(parseaddr(one)[1]) for one in self._recipients if one not in told}
        taken = {one for one, (code, _) in answers.items() if code in (_DONE, 251)}
        if taken:
            code, said = smtp.data(mail)
            if code != _DONE:
                raise smtplib.SMTPDataError(code, said)
            told |= taken
        self._judge(told, {one: answer for one, answer in answers.items() if one not in taken})
        del self._told[notice_id]

    def _judge(self, told: set[str], refused: Mapping[str, tuple[int, bytes]]) -> None:
        """Whether those who were refused are to be tried again, and whether anybody has it at all."""
        later = [f"{one} ({_answer(*answer)})" for one, answer in refused.items() if answer[0] < 500]
        never = [f"{one} ({_answer(*answer)})" for one, answer in refused.items() if answer[0] >= 500]
        if later:
            raise UnreachableError(f"not taken for {', '.join(later)} yet")
        if never and not told:
            raise RefusedError(f"not taken for anybody: {', '.join(never)}")
        if never:
            log.error("channel %s: mail is not taken for %s", self.name, ", ".join(never))


def _connected(server: MailServer, seconds: float) -> smtplib.SMTP:
    """A session that is as safe as was asked for, and logged in."""
    context = ssl.create_default_context()
    if server.tls == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=seconds, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=seconds)
    try:
        if server.tls == "starttls":
            smtp.starttls(context=context)
        if server.user is not None and server.password is not None:
            smtp.login(server.user, server.password)
        smtp.ehlo_or_helo_if_needed()
    except BaseException:
        smtp.close()
        raise
    return smtp


def mail_of(message: Message, sender: str, recipients: Sequence[str], draw: Callable[[Chart], bytes]) -> EmailMessage:
    """The mail of a message, in 7 bits: text, and the same as HTML with the chart inside it."""
    mail = EmailMessage(policy=_POLICY)
    domain = parseaddr(sender)[1].rpartition("@")[2]
    mail["From"], mail["To"], mail["Subject"] = sender, ", ".join(recipients), message.title
    mail["Date"], mail["Message-ID"] = message.created_at, f"<{message.notice_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(as_text(message))
    picture = _picture(message, draw)
    image = f"chart.{message.notice_id}@{domain}" if picture else None
    mail.add_alternative(mail_html(message, image), subtype="html")
    if picture:
        page = mail.get_body(("html",))
        assert page is not None
        page.add_related(picture, "image", "png", cid=f"<{image}>", filename="chart.png", disposition="inline")
    return mail


def _picture(message: Message, draw: Callable[[Chart], bytes]) -> bytes | None:
    if message.chart is None:
        return None
    try:
        return draw(message.chart)
    except Exception:  # an alert without its picture is better than none
        log.exception("the chart of notice %s cannot be drawn", message.notice_id)
        return None


def _said(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _answer(error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"{one_line(str(error))} Nothing was sent; without TLS only where the channel says so"
    return one_line(str(error))[:LONGEST_ANSWER]


def _answer(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return one_line(f"{code} {text}")[:LONGEST_ANSWER]


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return one_line(str(error.strerror or error))[:LONGEST_ANSWER]
