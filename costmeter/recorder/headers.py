"""What a request says itself of whose call it is, in headers that are for costmeter and never leave with it.

    x-costmeter-account, -project, -user, -api-key    a text
    x-costmeter-tags                                  team=a, env=prod

Other characters than plain ASCII, and in tags the comma and the equals sign, are percent-encoded UTF-8 (RFC 3986,
section 2.1).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from costmeter.core.errors import InputError
from costmeter.core.events import check_account
from costmeter.recorder.attribution import NOBODY, Attribution, attribution_of

logger = logging.getLogger("costmeter.recorder")

PREFIX = b"x-costmeter-"
_ACCOUNT, _PROJECT, _USER, _API_KEY, _TAGS = NAMES = tuple(
    PREFIX + name for name in (b"account", b"project", b"user", b"api-key", b"tags")
)
_reported: set[str] = set()  # the headers of which a value was refused


def read_attribution(headers: Mapping[bytes, bytes]) -> Attribution:
    """What the headers say, their names in lower case; a value that cannot be used is ignored and reported once."""
    if headers.keys().isdisjoint(NAMES):
        return NOBODY
    return _attribution(*(headers.get(name, b"") for name in NAMES))


@lru_cache(maxsize=256)  # what a program's calls say repeats
def _attribution(account: bytes, project: bytes, user: bytes, api_key: bytes, tags: bytes) -> Attribution:
    return attribution_of(
        account=_read(_ACCOUNT, account),
        project=_read(_PROJECT, project),
        user=_read(_USER, user),
        api_key=_read(_API_KEY, api_key),
        tags=dict(_tags(tags)),
    )


def _tags(value: bytes) -> Iterator[tuple[str, str]]:
    for pair in filter(None, (part.strip() for part in value.split(b","))):
        name, equals, text = pair.partition(b"=")
        tag = (_read(_TAGS, name), _read(_TAGS, text)) if equals else (None, None)
        if tag[0] and tag[1] is not None:
            yield tag[0], tag[1]
        else:
            _report(InputError(_TAGS.decode(), pair.decode("latin-1"), "write name=value, name=value"))


def _read(header: bytes, value: bytes) -> str | None:
    """The text that a value stands for; None where there is none that can be used."""
    try:
        text = unquote_to_bytes(value.strip()).decode()
        return check_account(text, header.decode()) if text and header == _ACCOUNT else text
    except UnicodeDecodeError:
        _report(InputError(header.decode(), value.decode("latin-1"), "write UTF-8, percent-encoded"))
    except InputError as error:
        _report(error)
    return None


def _report(error: InputError) -> None:
    if error.field not in _reported:  # a header comes with every request
        _reported.add(error.field)
        logger.warning("a header is ignored, and further ones like it silently: %s", error)
