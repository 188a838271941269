"""The file of channels is read strictly: what is wrong is named with its remedy, and a secret is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmeter.alerts.channels_file import Channels, default_channels, read_channels
from costmeter.alerts.chat import ChatChannel
from costmeter.alerts.log import LogChannel
from costmeter.alerts.mail import MailChannel
from costmeter.alerts.webhook import WebhookChannel
from costmeter.core.errors import InputError
from costmeter.reports.charts import bars_png

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "channels.toml"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwVvx0Yy3kXqE="
TOKEN = "tok3n-of-somebody"
HOOK = f'[ops]\nkind = "webhook"\nurl = "https://ops.example.com/{TOKEN}"\nsecret_file = "hook"\n'
MAIL = '[m]\nkind = "mail"\nurl = "smtp://u@mail.example.com"\npassword_file = "mail"\n'
MAIL += 'from = "a@example.com"\nto = ["b@example.com"]\n'
CHAT = '[team]\nkind = "apprise"\nurl_file = "chat"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("hook", SECRET), ("mail", TOKEN), ("chat", f"json://example.com/{TOKEN}"), ("bad", TOKEN)):
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
    return tmp_path


def read(folder: Path, text: str) -> Channels:
    path = folder / "channels.toml"
    path.write_text(text, encoding="utf-8")
    return read_channels(path, bars_png)


def test_the_example_that_ships_is_one(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    slack = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#costs"
    for name, text in (("ops_webhook", SECRET), ("mail_password", TOKEN), ("team_chat", slack)):
        (tmp_path / "secrets" / name).write_text(text, encoding="utf-8")
    found = read(tmp_path, EXAMPLE.read_text(encoding="utf-8"))
    kinds = {name: type(channel) for name, channel in found.by_name.items()}
    assert kinds == {"log": LogChannel, "ops": WebhookChannel, "finance": MailChannel, "team": ChatChannel}
    assert found.digests == {"daily": ["team"], "weekly": ["finance"], "monthly": ["finance"]}
    assert [channel.name for channel in found.by_name.values()] == [*kinds]


def test_without_a_file_the_log_tells_alerts_and_nobody_digests() -> None:
    found = default_channels()
    assert ([*found.by_name], found.digests) == (["log"], {"daily": [], "weekly": [], "monthly": []})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "COSTMETER_CHANNELS '.*channels.toml': has no channel"),
        ("[ops", "COSTMETER_CHANNELS '.*channels.toml': is no TOML: at end of document"),
        ("ops = 3", r"^ops: is no channel; write \[ops\]"),
        ('["a b"]\nkind = "log"', "channel 'a b': name it by"),
        (f"[{'x' * 65}]\nkind = 'log'", "channel 'x+': name it by"),
        ("[ops]", "^ops.kind: write one of log, webhook, mail or apprise$"),
        ("[ops]\nkind = 'sms'", "^ops.kind 'sms': write one of log"),
        ("[ops]\nkind = 'log'\ndigests = ['hourly']", r"^ops.digests.0 .*'hourly'.*: input should be 'daily'"),
        ("[ops]\nkind = 'log'\nurl = 'https://x'", "^ops.url: is no field of log; those are kind, digests$"),
        (HOOK.replace("secret_file", "secret"), "^ops.secret(_file)?: is (no field of webhook|missing)"),
        (HOOK + "url_file = 'hook'", "^ops.url: write either url or url_file$"),
        (HOOK.replace("https", "http"), "^ops.url: goes in the clear; write https, or without_tls = true$"),
        (HOOK.replace("https", "ftp"), "^ops.url: is no URL that begins with https:// or http://$"),
        (HOOK.replace("ops.example.com", "ops.example.com:99999"), "^ops.url: is no URL that begins"),
        (HOOK.replace('"hook"', '"bad"'), "^ops.secret_file 'bad': holds no secret: write whsec_ and the base64 of 24"),
        (HOOK.replace('"hook"', '"none"'), "^ops.secret_file 'none': cannot be read: No such file"),
        (MAIL.replace("u@", f"u:{TOKEN}@"), "^m.url: holds a password; write it to a file"),
        (MAIL.replace("u@", ""), "^m.password_file: goes with a user in the url"),
        (MAIL.replace('password_file = "mail"\n', ""), "^m.password_file: goes with a user in the url"),
        (MAIL.replace("smtp:", "smtps:") + "without_tls = true", "^m.without_tls True: is for smtp://; leave it out$"),
        (MAIL.replace("b@example.com", "b"), "^m.to 'b': is no mail address"),
        (MAIL.replace("b@example.com", "b@x, c@x"), "^m.to 'b@x, c@x': is no mail address"),
        (MAIL.replace("a@example.com", "a@ex\\nBcc: x@y"), "^m.from .*: is no mail address"),
        (MAIL.replace('["b@example.com"]', "[]"), r"^m.to \[\]: list should have at least 1 item"),
        (MAIL.replace('["b@example.com"]', '"b@example.com"'), "^m.to 'b@example.com': input should be a valid list"),
        (CHAT.replace('"chat"', '"bad"'), "^team.url_file 'bad': is no URL of apprise"),
        (CHAT + "url = 'json://x'", "^team.url: is no field of apprise; those are kind, digests, url_file$"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_remedy_and_no_secret(folder: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        read(folder, text)
    assert TOKEN not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"COSTMETER_CHANNELS '.*none.toml': cannot be read: No such file"):
        read_channels(tmp_path / "none.toml", bars_png)


@pytest.mark.parametrize("text", [HOOK, MAIL, CHAT])
def test_nothing_shows_a_secret(folder: Path, text: str) -> None:
    (channel,) = read(folder, text).by_name.values()
    shown = f"{channel!r} {channel!s}"
    assert TOKEN not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:9/x"])
def test_a_hook_on_this_machine_needs_no_tls(folder: Path, url: str) -> None:
    assert read(folder, HOOK.replace(f"https://ops.example.com/{TOKEN}", url)).by_name.keys() == {"ops"}


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SECRET, SECRET.rstrip("=")])
def test_a_secret_is_24_bytes_or_more(folder: Path, secret: str) -> None:
    (folder / "hook").write_text(secret, encoding="utf-8")
    assert read(folder, HOOK).by_name.keys() == {"ops"}


@pytest.mark.parametrize(
    "secret", ["whsec_c2hvcnQ=", "whpk_" + SECRET[6:], SECRET[6:], "whsec_!!!", "", "whsec_" + "A" * 90]
)
def test_anything_else_is_no_secret(folder: Path, secret: str) -> None:
    (folder / "hook").write_text(secret, encoding="utf-8")
    with pytest.raises(InputError, match="holds no secret"):
        read(folder, HOOK)
