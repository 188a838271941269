"""`costmeter keys`: API keys of the service: who may send, read, or change what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from costmeter.cli.database import database, snapshot
from costmeter.cli.options import AsJson, By, decided_by
from costmeter.cli.output import print_json, print_line, print_note, print_table
from costmeter.core.periods import parse_instant
from costmeter.core.rate_limits import Limits
from costmeter.services.create_key import NewKey, create_key
from costmeter.services.limit_key import limit_key
from costmeter.services.revoke_key import revoke_key
from costmeter.services.rotate_key import rotate_key
from costmeter.store import api_keys
from costmeter.store.api_keys import ApiKey

app = typer.Typer(help="API keys of the service: who may send, read, or change what.")
PerMinute = Annotated[int | None, typer.Option(help="Calls through the gateway in any 60 s; default: any number.")]
AtOnce = Annotated[int | None, typer.Option(help="Calls on their way there at once; default: any number.")]
NameOrId = Annotated[str, typer.Argument(metavar="NAME", help="The key's name, or the id of one key.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for; one active key has a name.")],
    role: Annotated[list[str], typer.Option(help="ingest, call, read, finance or admin; may be repeated.")],
    account: Annotated[list[str] | None, typer.Option(help="Only this account; may be repeated.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only this project; may be repeated.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="It opens nothing from here on; default: never.")] = None,
    calls_per_minute: PerMinute = None,
    calls_at_once: AtOnce = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. Its text is printed once and stored nowhere.

    ingest sends events; call calls DeepSeek through the gateway; read sees everything and changes nothing; finance also
    adds accounts and credits and decides about quarantine; admin may all of it and makes keys.
    """
    ends = None if expires_at is None else parse_instant(expires_at, "expires_at")
    new = NewKey(name, role, account, project, ends, Limits(calls_per_minute, calls_at_once))
    with database() as engine:
        key, text = create_key(engine, new, by=decided_by(by), now=datetime.now(UTC))
    _print_new(key, text, as_json)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys, ended ones too; never their texts."""
    now = datetime.now(UTC)
    with snapshot() as connection:
        found = [key.as_dict(now) for key in api_keys.listed(connection)]
    if as_json:
        print_json(found)
        return
    names = ("name", "key", "roles", "accounts", "projects", "a minute", "at once", "expires", "state")
    columns = dict.fromkeys(names, "left")
    print_table(columns, [_row(key) for key in found])


@app.command()
def rotate(
    name: NameOrId,
    overlap_hours: Annotated[float, typer.Option(help="How long the old key still works.")] = 24.0,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key that may do the same; the old one ends after the overlap."""
    with database() as engine:
        overlap = timedelta(hours=overlap_hours)
        key, text = rotate_key(engine, name, overlap=overlap, by=decided_by(by), now=datetime.now(UTC))
    _print_new(key, text, as_json)


@app.command()
def limit(
    name: NameOrId,
    calls_per_minute: PerMinute = None,
    calls_at_once: AtOnce = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Set how fast a key may call DeepSeek through the gateway; an option left out is any number."""
    now, limits = datetime.now(UTC), Limits(calls_per_minute, calls_at_once)
    with database() as engine:
        limited = limit_key(engine, name, limits, by=decided_by(by), now=now)
    if as_json:
        print_json([key.as_dict(now) for key in limited])
    else:
        print_line(f"limited {_listed(limited)}")


@app.command()
def revoke(
    name: NameOrId,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the audit log.")] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """End a key now; a running server refuses it within a second."""
    now = datetime.now(UTC)
    with database() as engine:
        revoked = revoke_key(engine, name, by=decided_by(by), reason=reason, now=now)
    if as_json:
        print_json([key.as_dict(now) for key in revoked])
    else:
        print_line(f"revoked {_listed(revoked)}")


def _print_new(key: ApiKey, text: str, as_json: bool) -> None:
    if as_json:
        print_json({**key.as_dict(key.created_at), "key": text})
        return
    print_note(f"key {key.name} ({key.key_id}), {', '.join(key.roles)}; it is shown this once:")
    print_line(text)


def _listed(keys: list[ApiKey]) -> str:
    return ", ".join(f"{key.name} ({key.key_id})" for key in keys)


def _row(key: dict[str, object]) -> list[str]:
    lists = [", ".join(map(str, names)) if isinstance(names, list) else "all" for names in _scope(key)]
    limits = [str(key[name] or "any") for name in Limits._fields]
    state = "active" if key["active"] else "revoked" if key["revoked_at"] else "expired"
    return [str(key["name"]), str(key["key_id"]), *lists, *limits, str(key["expires_at"] or "never"), state]


def _scope(key: dict[str, object]) -> list[object]:
    return [key["roles"], key["accounts"], key["projects"]]
