"""The file of channels: TOML, a table for each, read strictly; secrets stand in files of their own."""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections.abc import Callable, Mapping
from email.utils import getaddresses
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from costmeter.alerts.chat import ChatChannel
from costmeter.alerts.log import LogChannel
from costmeter.alerts.mail import MailChannel, MailServer
from costmeter.alerts.webhook import WebhookChannel
from costmeter.core.deliveries import Channel
from costmeter.core.errors import InputError
from costmeter.core.notices import Chart

DIGESTS = ("daily", "weekly", "monthly")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_SHORTEST_SECRET, _LONGEST_SECRET = 24, 64  # bytes of a webhook's, by Standard Webhooks
_MAIL_PORTS = {"smtps": 465, "smtp": 587}


class Channels(NamedTuple):
    """Who tells notices, by name; and which of them tell each kind of digest."""

    by_name: Mapping[str, Channel]
    digests: Mapping[str, list[str]]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    digests: list[Literal["daily", "weekly", "monthly"]] = []


class _Log(_Table):
    kind: Literal["log"]


class _Webhook(_Table):
    kind: Literal["webhook"]
    url: str | None = None
    url_file: Path | None = None
    secret_file: Path
    without_tls: bool = False


class _Mail(_Table):
    kind: Literal["mail"]
    url: str
    password_file: Path | None = None
    sender: str = Field(alias="from")
    to: list[str] = Field(min_length=1)
    without_tls: bool = False


class _Apprise(_Table):
    kind: Literal["apprise"]
    url_file: Path


_TABLE: TypeAdapter[_Log | _Webhook | _Mail | _Apprise] = TypeAdapter(
    Annotated[_Log | _Webhook | _Mail | _Apprise, Field(discriminator="kind")]
)
_SHOWN = frozenset(("kind", "digests", "to", "from", "without_tls", "secret_file", "password_file", "url_file"))


def default_channels() -> Channels:
    """The log, where no file says anything else."""
    return Channels({"log": LogChannel("log")}, {kind: [] for kind in DIGESTS})


def read_channels(path: Path, draw: Callable[[Chart], bytes]) -> Channels:
    """The channels of a file; InputError names the channel's field, its value unless it may be secret, and a remedy.

    Files of secrets are read now, and named from the folder of this file on. `draw` makes the pictures of mails.
    """
    by_name: dict[str, Channel] = {}
    digests: dict[str, list[str]] = {kind: [] for kind in DIGESTS}
    for name, table in _tables(path).items():
        checked = _checked(name, table)
        by_name[name] = _Builder(name, path.parent, draw).build(checked)
        for kind in checked.digests:
            digests[kind].append(name)
    return Channels(by_name, digests)


def _tables(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("COSTMETER_CHANNELS", str(path), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError("COSTMETER_CHANNELS", str(path), f"is no TOML: {_place(error)}") from None
    if not found:
        raise InputError("COSTMETER_CHANNELS", str(path), "has no channel; begin one with [its name] and kind = ...")
    return found


def _place(error: Exception) -> str:
    """Where a file is wrong; what stands there may be a secret."""
    found = re.search(r"\(at .*\)$", str(error))
    return found.group(0)[1:-1] if found else "not UTF-8"


def _checked(name: str, table: object) -> _Log | _Webhook | _Mail | _Apprise:
    if not _NAME.fullmatch(name):
        raise InputError("channel", name, "name it by 1 to 64 letters, digits and ._-, a letter or digit first")
    if not isinstance(table, dict):
        raise InputError(name, None, f"is no channel; write [{name}] and below it kind = ...")
    try:
        return _TABLE.validate_python(table)
    except ValidationError as error:
        raise _refusal(name, table, error) from None


def _refusal(name: str, table: Mapping[str, Any], error: ValidationError) -> InputError:
    first = error.errors(include_input=False, include_url=False)[0]
    kinds = "log, webhook, mail or apprise"
    if first["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return InputError(f"{name}.kind", table.get("kind"), f"write one of {kinds}")
    place = [str(part) for part in first["loc"][1:]]
    field = f"{name}.{'.'.join(place)}"
    if first["type"] == "missing":
        return InputError(field, None, "is missing")
    if first["type"] == "extra_forbidden":
        return InputError(field, None, f"is no field of {table['kind']}; those are {_fields(table['kind'])}")
    value = table.get(place[0]) if place[0] in _SHOWN else None
    return InputError(field, value, first["msg"][:1].lower() + first["msg"][1:])


def _fields(kind: str) -> str:
    models: dict[str, type[_Table]] = {"log": _Log, "webhook": _Webhook, "mail": _Mail, "apprise": _Apprise}
    return ", ".join(["kind", *(f.alias or n for n, f in models[kind].model_fields.items() if n != "kind")])


class _Builder:
    """Makes the channel of one table."""

    def __init__(self, name: str, folder: Path, draw: Callable[[Chart], bytes]) -> None:
        self._name, self._folder, self._draw = name, folder, draw

    def build(self, table: _Log | _Webhook | _Mail | _Apprise) -> Channel:
        if isinstance(table, _Webhook):
            return self._webhook(table)
        if isinstance(table, _Mail):
            return self._mail(table)
        return self._chat(table) if isinstance(table, _Apprise) else LogChannel(self._name)

    def _webhook(self, table: _Webhook) -> Channel:
        if (table.url is None) == (table.url_file is None):
            raise self._wrong("url", None, "write either url or url_file")
        url = self._content("url_file", table.url_file) if table.url_file else str(table.url)
        parts = self._split(url, "https", "http")
        if parts.scheme == "http" and not table.without_tls and not _is_here(str(parts.hostname)):
            raise self._wrong("url", None, "goes in the clear; write https, or without_tls = true")
        secret = self._content("secret_file", table.secret_file)
        if not _is_secret(secret):
            remedy = "holds no secret: write whsec_ and the base64 of 24 to 64 random bytes"
            raise self._wrong("secret_file", str(table.secret_file), remedy)
        return WebhookChannel(self._name, url, secret)

    def _mail(self, table: _Mail) -> Channel:
        parts = self._split(table.url, "smtps", "smtp")
        if parts.password is not None:
            raise self._wrong(
                "url", None, "holds a password; write it to a file of its own and name that: password_file"
            )
        if (parts.username is None) != (table.password_file is None):
            raise self._wrong(
                "password_file", None, "goes with a user in the url, smtp://user@host, and a user with it"
            )
        if parts.scheme == "smtps" and table.without_tls:
            raise self._wrong("without_tls", True, "is for smtp://; leave it out")
        for field, addresses in (("from", [table.sender]), ("to", table.to)):
            for address in addresses:
                if not _is_address(address):
                    raise self._wrong(field, address, "is no mail address, such as ops@example.com")
        password = self._content("password_file", table.password_file) if table.password_file else None
        tls = "tls" if parts.scheme == "smtps" else "none" if table.without_tls else "starttls"
        user = unquote(parts.username) if parts.username is not None else None
        server = MailServer(str(parts.hostname), parts.port or _MAIL_PORTS[parts.scheme], tls, user, password)
        return MailChannel(self._name, server, table.sender, table.to, draw=self._draw)

    def _chat(self, table: _Apprise) -> Channel:
        try:
            return ChatChannel(self._name, self._content("url_file", table.url_file))
        except InputError as error:
            raise self._wrong("url_file", str(table.url_file), error.remedy) from None

    def _split(self, url: str, *schemes: str) -> Any:
        """The parts of a URL; what is wrong with it is told without it, as it may hold a secret."""
        try:
            parts = urlsplit(url)
            is_right = parts.scheme in schemes and parts.hostname is not None and parts.port != 0
        except ValueError:
            is_right = False
        if not is_right:
            raise self._wrong("url", None, f"is no URL that begins with {' or '.join(f'{one}://' for one in schemes)}")
        return parts

    def _content(self, field: str, path: Path) -> str:
        try:
            return (self._folder / path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise self._wrong(field, str(path), f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self._wrong(field, str(path), "is no UTF-8 text") from None

    def _wrong(self, field: str, value: object, remedy: str) -> InputError:
        return InputError(f"{self._name}.{field}", value, remedy)


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_secret(text: str) -> bool:
    kind, _, rest = text.partition("_")
    try:
        length = len(base64.b64decode(rest + "=" * (-len(rest) % 4), validate=True))
    except binascii.Error:
        return False
    return kind == "whsec" and _SHORTEST_SECRET <= length <= _LONGEST_SECRET


def _is_address(text: str) -> bool:
    addresses = [address for _, address in getaddresses([text])]
    name, _, domain = addresses[0].rpartition("@")
    return bool(name and domain) and len(addresses) == 1 and addresses[0].isascii() and text.isprintable()
