"""Mail goes over TLS, looks the same at every attempt, and its text, page and picture say one thing."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from costmeter.alerts.mail import MailChannel, MailServer
from costmeter.core.errors import RefusedError, UnreachableError
from costmeter.core.notices import Chart, as_text
from costmeter.reports.charts import bars_png
from tests.alerts.messages import NOTICE_ID, a_message
from tests.alerts.receivers import PASSWORD, USER, Certificates, Inbox, mail_server

SENDER, FINANCE, OPS = "costmeter <costmeter@example.com>", "finance@example.com", "Ops & co <ops@example.com>"
# aiosmtpd does not see that all of a session is encrypted where it is so from its first byte.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def channel(port: int, tls: str = "none", *, login: bool = False, to: tuple[str, ...] = (FINANCE, OPS)) -> MailChannel:
    user, password = (USER, PASSWORD) if login else (None, None)
    return MailChannel("mail", MailServer("localhost", port, tls, user, password), SENDER, to, draw=bars_png)


@pytest.fixture
def plain(inbox: Inbox) -> Iterator[int]:
    with mail_server(inbox, tls="none") as port:
        yield port


@pytest.mark.parametrize("login", [False, True])
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_goes_over_tls_with_and_without_a_password(
    inbox: Inbox, trusted: Certificates, tls: str, login: bool
) -> None:
    with mail_server(inbox, tls=tls, context=trusted.context, login=login) as port:
        channel(port, tls, login=login).send(a_message())
    ((recipients, mail),) = inbox.mails
    assert inbox.was_safe == [True]
    assert recipients == ["finance@example.com", "ops@example.com"]
    assert (mail["From"], mail["To"]) == (SENDER, f"{FINANCE}, {OPS}")


def test_a_mail_is_text_and_a_page_with_the_picture_inside(inbox: Inbox, plain: int) -> None:
    channel(plain).send(a_message())
    mail = inbox.mails[0][1]
    assert mail["Subject"] == a_message().title
    assert mail["Message-ID"] == f"<{NOTICE_ID}@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == a_message().created_at
    assert text_of(mail) == as_text(a_message())
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    page, picture = ([*mail.walk()][place] for place in (3, 4))
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in page.get_content()
    assert picture.get_content().startswith(PNG)


def test_a_message_without_a_chart_has_no_picture(inbox: Inbox, plain: int) -> None:
    channel(plain).send(a_message(spend=None))
    mail = inbox.mails[0][1]
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert "<img" not in [*mail.walk()][2].get_content()


def test_a_chart_that_cannot_be_drawn_keeps_no_alert(
    inbox: Inbox, plain: int, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(chart: Chart) -> bytes:
        raise OSError(f"no fonts for {chart.caption}")

    MailChannel("mail", MailServer("localhost", plain, "none"), SENDER, [FINANCE], draw=fails).send(a_message())
    assert text_of(inbox.mails[0][1]) == as_text(a_message())
    assert "no fonts" in caplog.text


def test_every_attempt_has_the_same_message_id_date_and_text(inbox: Inbox, plain: int) -> None:
    for _ in range(2):
        channel(plain).send(a_message())
    first, second = (mail for _, mail in inbox.mails)
    assert [first[name] for name in ("Message-ID", "Date", "Subject")] == [
        second[name] for name in ("Message-ID", "Date", "Subject")
    ]
    assert text_of(first) == text_of(second)


def test_without_starttls_nothing_is_sent(inbox: Inbox, plain: int) -> None:
    with pytest.raises(UnreachableError, match=r"STARTTLS.* Nothing was sent") as raised:
        channel(plain, "starttls", login=True).send(a_message())
    assert inbox.mails == []
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_certificate_that_is_not_trusted_is_refused(
    inbox: Inbox, trusted: Certificates, tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        mail_server(inbox, tls=tls, context=trusted.context, login=True) as port,
        pytest.raises(UnreachableError, match=r"certificate verify failed"),
    ):
        channel(port, tls, login=True).send(a_message())
    assert inbox.mails == []


def test_a_wrong_password_is_tried_again_and_not_told(inbox: Inbox, trusted: Certificates) -> None:
    with mail_server(inbox, tls="starttls", context=trusted.context, login=True) as port:
        server = MailServer("localhost", port, "starttls", USER, "wrong-password")
        with pytest.raises(UnreachableError, match=r"535") as raised:
            MailChannel("mail", server, SENDER, [FINANCE], draw=bars_png).send(a_message())
    assert "wrong-password" not in f"{raised.value!r} {server!r} {raised.value.__cause__!r}"
    assert inbox.mails == []


def test_one_who_is_refused_for_good_keeps_it_from_nobody_else(
    inbox: Inbox, plain: int, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.refused = {FINANCE: "550 no such user"}
    channel(plain).send(a_message())
    assert [recipients for recipients, _ in inbox.mails] == [["ops@example.com"]]
    assert "mail is not taken for finance@example.com (550 no such user)" in caplog.text


def test_one_who_is_refused_for_now_gets_it_later_and_the_others_once(inbox: Inbox, plain: int) -> None:
    inbox.refused = {FINANCE: "451 come back"}
    mail = channel(plain)
    with pytest.raises(UnreachableError, match=r"not taken for finance@example.com \(451 come back\) yet"):
        mail.send(a_message())
    inbox.refused = {}
    mail.send(a_message())
    assert [recipients for recipients, _ in inbox.mails] == [["ops@example.com"], ["finance@example.com"]]


def test_nobody_to_be_had_is_refused(inbox: Inbox, plain: int) -> None:
    inbox.refused = {FINANCE: "550 no such user", "ops@example.com": "553 nor this one"}
    with pytest.raises(RefusedError, match=r"not taken for anybody: finance@example.com .550 no such user., Ops & co"):
        channel(plain).send(a_message())
    assert inbox.mails == []


@pytest.mark.parametrize(
    ("answer", "wrong"), [("554 no such content here", RefusedError), ("452 disk full", UnreachableError)]
)
def test_content_that_is_refused(inbox: Inbox, plain: int, answer: str, wrong: type[Exception]) -> None:
    inbox.content = answer
    with pytest.raises(wrong, match=answer):
        channel(plain).send(a_message())


def test_nobody_there_is_tried_again() -> None:
    with pytest.raises(UnreachableError, match=r"localhost:1 cannot be reached: Connection refused"):
        channel(1).send(a_message())


def test_a_name_with_a_line_break_makes_no_header_of_its_own(inbox: Inbox, plain: int) -> None:
    channel(plain).send(a_message(budget="x\r\nBcc: everybody@example.com"))
    mail = inbox.mails[0][1]
    assert mail["Bcc"] is None
    assert mail["Subject"].strip().startswith("Budget x Bcc: everybody@example.com: 82.4 %")


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")
