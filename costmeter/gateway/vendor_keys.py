"""Which of DeepSeek's keys the calls of an account are made with: one for all, or a file that says it of each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from costmeter.core.errors import InputError, SetupError
from costmeter.core.events import check_account
from costmeter.settings import Settings

# What can stand in a header; a key of DeepSeek's is sk- and 32 characters (seen in its console and documents).
_KEY = re.compile(r"[!-~]{8,512}", re.ASCII)
_FIELDS = ("key", "key_file")


class VendorKeys:
    """Keys by account, and perhaps one for all other accounts."""

    def __init__(self, by_account: Mapping[str, str], others: str | None = None) -> None:
        self._by_account, self._others = dict(by_account), others

    def of(self, account: str) -> str | None:
        """The key that calls of an account are made with; None where it has none."""
        return self._by_account.get(account, self._others)

    def described(self) -> str:
        """Whose there are, never which."""
        count = len(self._by_account)
        if not count:
            return "one for all accounts"
        own = f"{count}, each for an account of its own"
        return own if self._others is None else f"{own}, and one for all other accounts"


def read_vendor_keys(said: Settings) -> VendorKeys | None:
    """The keys of the settings; None where there are none, and callers send their own.

    Files of keys are read now, and named from the folder of COSTMETER_GATEWAY_VENDOR_KEYS on. InputError names the
    field, its value unless that is a key, and a remedy.
    """
    key, path = said.gateway_vendor_key, said.gateway_vendor_keys
    if key is None and path is None:
        return None
    if said.server_url is not None:
        remedy = "and let the gateway record into the database of COSTMETER_DATABASE_URL"
        raise SetupError(f"with a vendor key the database is asked who calls: unset COSTMETER_SERVER_URL, {remedy}")
    others = None if key is None else _checked("COSTMETER_GATEWAY_VENDOR_KEY", key)
    tables = {} if path is None else _tables(path)
    folder = Path() if path is None else path.parent
    return VendorKeys({account: _key_of(account, table, folder) for account, table in tables.items()}, others)


def _tables(path: Path) -> Mapping[str, Any]:
    name = "COSTMETER_GATEWAY_VENDOR_KEYS"
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(name, str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(name, str(path), "is no UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at .*\)$", str(error))  # what stands there may be a key
        raise InputError(name, str(path), f"is no TOML {place[0] if place else ''}".rstrip()) from None
    if not found:
        raise InputError(name, str(path), "names no account; begin one with [its name], and below it key_file = ...")
    return found


def _key_of(account: str, table: object, folder: Path) -> str:
    check_account(account, "COSTMETER_GATEWAY_VENDOR_KEYS")
    if not isinstance(table, Mapping):
        raise InputError(account, None, f"is no account; write [{account}], and below it key_file = ...")
    for field in table:
        if field not in _FIELDS:
            remedy = f'is no field; write key or key_file, and a name with a dot in quotes, as in ["{account}.{field}"]'
            raise InputError(f"{account}.{field}", None, remedy)
    if len(table) != 1:
        raise InputError(account, None, "write either key or key_file")
    ((field, value),) = table.items()
    if not isinstance(value, str):
        raise InputError(f"{account}.{field}", None, "write a text in quotes")
    return _checked(f"{account}.{field}", value if field == "key" else _content(account, folder / value))


def _content(account: str, path: Path) -> str:
    field = f"{account}.key_file"
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(field, str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(field, str(path), "is no UTF-8 text") from None


def _checked(field: str, key: str) -> str:
    if key.startswith("cm_"):
        raise InputError(field, None, "is a key of costmeter's; write one of DeepSeek's")
    if not _KEY.fullmatch(key):
        raise InputError(field, None, "is no key: write 8 to 512 ASCII characters without spaces")
    return key
