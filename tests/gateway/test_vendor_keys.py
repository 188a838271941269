"""The file of vendor keys: which account has which, and what is told, never a key, where it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmeter import wiring
from costmeter.core.errors import InputError
from costmeter.gateway.vendor_keys import VendorKeys, read_vendor_keys

KEY = "sk-0123456789abcdef"
OTHER = "sk-fedcba9876543210"


def said_in(key: str | None = None, path: Path | None = None) -> VendorKeys | None:
    """The keys of settings that say this, and nothing else."""
    said = {"gateway_vendor_key": key, "gateway_vendor_keys": path}
    return read_vendor_keys(wiring.settings().model_copy(update=said))


def read(tmp_path: Path, content: str, key: str | None = None) -> VendorKeys:
    path = tmp_path / "vendor.toml"
    path.write_text(content, encoding="utf-8")
    made = said_in(key, path)
    assert made is not None
    return made


def test_without_a_setting_there_are_none() -> None:
    assert said_in() is None


def test_one_key_is_for_all_accounts() -> None:
    made = said_in(KEY)
    assert made is not None
    assert [made.of(account) for account in ("default", "a")] == [KEY, KEY]
    assert made.described() == "one for all accounts"


def test_accounts_have_their_own_in_place_or_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "b").write_text(f"{OTHER}\n")
    content = f'[a]\nkey = "{KEY}"\n["team.b"]\nkey_file = "keys/b"\n'
    made = read(tmp_path, content)
    assert [made.of(account) for account in ("a", "team.b", "c")] == [KEY, OTHER, None]
    assert made.described() == "2, each for an account of its own"
    both = read(tmp_path, content, "sk-for-the-others")
    assert [both.of(account) for account in ("a", "team.b", "c")] == [KEY, OTHER, "sk-for-the-others"]
    assert both.described() == "2, each for an account of its own, and one for all other accounts"
    assert KEY not in repr(both)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "COSTMETER_GATEWAY_VENDOR_KEYS '{path}': names no account; begin one with [its name]"),
        (f"[a\nkey = '{KEY}'", "COSTMETER_GATEWAY_VENDOR_KEYS '{path}': is no TOML (at line 1, column 3)"),
        (f"a = '{KEY}'", "a: is no account; write [a], and below it key_file = ..."),
        ("[a]", "a: write either key or key_file"),
        (f"[a]\nkey = '{KEY}'\nkey_file = 'b'", "a: write either key or key_file"),
        (f"[a]\nkeys = '{KEY}'", "a.keys: is no field; write key or key_file"),
        (f"[team.b]\nkey = '{KEY}'", 'and a name with a dot in quotes, as in ["team.b"]'),
        ("[a]\nkey = 7", "a.key: write a text in quotes"),
        ("[a]\nkey = ''", "a.key: is no key: write 8 to 512 ASCII characters without spaces"),
        ("[a]\nkey = 'sk-0123456789 abcdef'", "a.key: is no key"),
        (f"[a]\nkey = '''{KEY}\nx: y'''", "a.key: is no key"),
        ("[a]\nkey = 'sk-ü123456789'", "a.key: is no key"),
        (f"[a]\nkey = 'cm_{'0' * 16}_{'0' * 64}'", "a.key: is a key of costmeter's; write one of DeepSeek's"),
        ("[a]\nkey_file = 'none'", "a.key_file '{folder}/none': cannot be read: No such file or directory"),
        (f"[' a']\nkey = '{KEY}'", "COSTMETER_GATEWAY_VENDOR_KEYS ' a': an account is named by 1 to 64"),
    ],
)
def test_what_cannot_be_used_is_named_without_the_key(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, content)
    assert says.format(path=tmp_path / "vendor.toml", folder=tmp_path) in str(refused.value)
    assert "0123456789" not in str(refused.value)
    assert "0123456789" not in repr(refused.value.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"COSTMETER_GATEWAY_VENDOR_KEYS '.*none': cannot be read: No such file"):
        said_in(None, tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"[\xfc]")
    with pytest.raises(InputError, match="is no UTF-8 text"):
        said_in(None, tmp_path / "latin")


@pytest.mark.parametrize(
    "key", ["", "short", "sk-with a space", "sk-0123456789\r\nhost: x", f"cm_{'0' * 16}_{'0' * 64}"]
)
def test_the_one_key_is_checked_as_well(key: str) -> None:
    with pytest.raises(InputError, match=r"^COSTMETER_GATEWAY_VENDOR_KEY: is (no key|a key of costmeter's)"):
        said_in(key)
