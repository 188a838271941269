"""The `costmeter` command: its subcommands, and the one place where errors become exit codes."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer
from sqlalchemy.exc import StatementError
from typer.exceptions import TyperException

from costmeter import __version__
from costmeter.cli import (
    account,
    alerts,
    audit,
    balance,
    budget,
    calendar,
    credit,
    db,
    demo,
    digest,
    doctor,
    export,
    flush,
    forecast,
    gateway,
    imports,
    keys,
    lessons,
    prices,
    quarantine,
    quote,
    reconcile,
    record,
    report,
    reprice,
    scheduler,
    serve,
    simulate,
    statement,
    verify,
    watch,
)
from costmeter.core.errors import CostmeterError, NoPriceError
from costmeter.wiring import collect_seldom

app = typer.Typer(
    help="Cost and usage accounting for the DeepSeek API: what each call cost, who caused it, what is left.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(record.record)
app.command()(report.report)
app.command()(lessons.lessons)
app.command()(forecast.forecast)
app.command()(digest.digest)
app.command()(reprice.reprice)
app.command()(statement.statement)
app.command()(statement.close)
app.add_typer(export.app, name="export")
app.add_typer(imports.app, name="import")
app.command()(balance.balance)
app.add_typer(reconcile.app, name="reconcile")
app.add_typer(credit.app, name="credit")
app.add_typer(account.app, name="account")
app.add_typer(budget.app, name="budget")
app.add_typer(alerts.app, name="alerts")
app.command()(quote.quote)
app.add_typer(prices.app, name="prices")
app.add_typer(quarantine.app, name="quarantine")
app.command()(verify.verify)
app.command()(doctor.doctor)
app.command()(flush.flush)
app.command()(serve.serve)
app.command()(gateway.gateway)
for kind in ("daily", "weekly", "monthly"):
    app.command(kind)(getattr(calendar, kind))
app.add_typer(keys.app, name="keys")
app.command()(audit.audit)
app.add_typer(db.app, name="db")
app.add_typer(scheduler.app, name="scheduler")
app.command()(watch.watch)
app.command()(simulate.simulate)
app.command()(demo.demo)


@app.callback(invoke_without_command=True)
def costmeter(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Cost and usage accounting for the DeepSeek API: what each call cost, who caused it, what is left."""
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an error is one line on standard error."""
    collect_seldom()
    warnings.showwarning = _print_warning
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # a transaction that is run again is no news
    try:
        given = None if arguments is None else list(arguments)
        return int(_command()(args=given, prog_name="costmeter", standalone_mode=False) or 0)
    except NoPriceError as error:
        return _fail(str(error), 1)
    except CostmeterError as error:
        return _fail(str(error), 2)
    except TyperException as error:
        return _fail(_usage(error), 2)
    except StatementError as error:  # only what the database said: the rest repeats the statement and its values
        return _fail(f"database: {error.orig}", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except UnicodeEncodeError as error:
        return _fail(f"{error.object!r} is no text: write it in UTF-8", 2)
    except OSError as error:
        return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 2)


@cache
def _command() -> Any:
    """All commands; to make them takes longer than most of them take."""
    return typer.main.get_command(app)


def _usage(error: TyperException) -> str:
    """What was wrong with the command line, and where to read how it is right."""
    context = getattr(error, "ctx", None)
    return f"{error.format_message()}{f' See: {context.command_path} --help' if context else ''}"


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"costmeter: {' '.join(message.split())}\n")
    return code


def _print_warning(message: Warning | str, *_: object, **__: object) -> None:
    sys.stderr.write(f"costmeter: warning: {message}\n")
