"""Options that several commands share."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from costmeter.core.errors import InputError

Account = Annotated[str, typer.Option("--account", "-a", help="The account.")]
AnyAccount = Annotated[str | None, typer.Option("--account", "-a", help="One account; without it, all of them.")]
Currency = Annotated[str | None, typer.Option(help="USD or CNY.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Month = Annotated[str | None, typer.Option(help="The billing month, as YYYY-MM.")]
From = Annotated[str | None, typer.Option("--from", help="Calls completed from this RFC 3339 instant on.")]
To = Annotated[str | None, typer.Option("--to", help="Calls completed before this instant.")]
Where = Annotated[list[str] | None, typer.Option(help="Only calls where KEY=VALUE; may be repeated.")]
KnownAt = Annotated[str | None, typer.Option(help="Only what was known at this RFC 3339 instant; default: now.")]
By = Annotated[str | None, typer.Option(help="Who decides this; default: the user of this machine.")]
Timezone = Annotated[str | None, typer.Option(help="An IANA time zone.")]


def decided_by(name: str | None) -> str:
    """Who decides: as the option says, or else the user that this process runs as."""
    if name is not None:
        return name
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        raise InputError("by", None, "this machine has no name for its user; say who decides") from None
