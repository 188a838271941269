"""The only reader of the environment: COSTMETER_... variables, each secret also from a file (..._FILE)."""

from __future__ import annotations

import os
import warnings
from datetime import time
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source

from costmeter.core.errors import InputError
from costmeter.core.periods import zone
from costmeter.core.rate_limits import MOST

PREFIX = "COSTMETER_"
# Read by the tests and the Makefile, never by the program.
_OTHERS = ("COSTMETER_REQUIRE_ALL", "COSTMETER_CITUS_URL")


_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the name that prometheus-client reads


def metrics_folder() -> str | None:
    """Where the processes of one `serve` keep their counters; None where it is one process."""
    return os.environ.get(_METRICS_FOLDER)


def share_metrics(folder: str) -> None:
    """Let this process and those that it starts keep their counters in a folder."""
    os.environ[_METRICS_FOLDER] = folder


def share_upstream(url: str) -> None:
    """Let this process and those that it starts pass requests on to a base URL."""
    os.environ[f"{PREFIX}GATEWAY_UPSTREAM"] = url


class Settings(BaseSettings):
    """What costmeter is told by its environment; every field has a default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: str = Field(
        default_factory=lambda: f"sqlite:///{user_data_path('costmeter') / 'costmeter.sqlite3'}",
        description="SQLAlchemy URL of the database; default: an SQLite file in the user's data directory",
    )
    currency: Literal["USD", "CNY"] = Field("USD", description="currency of accounts made at their first mention")
    timezone: str = Field("UTC", description="billing time zone of accounts made at their first mention")
    price_book: Path | None = Field(None, description="a TOML file that adds tariffs to the built-in price book")

    deepseek_hosts: str = Field(
        "",
        description="further hosts of OpenTelemetry spans that lead to DeepSeek, with commas between them",
    )

    spool_dir: Path = Field(
        default_factory=lambda: user_data_path("costmeter") / "spool",
        description="folder in which records wait for the database, on a local disk; default: in the data directory",
    )
    spool_limit: int = Field(1 << 30, ge=1 << 20, description="bytes that the spool folder may take")
    spool_sync: bool = Field(
        False, description="true: each record is on the disk before its call returns, and survives a power failure"
    )

    channels: Path | None = Field(
        None, description="the TOML file of the channels that tell alerts (docs/alerts.md); without it, the log tells"
    )
    url: str | None = Field(
        None, description="the service's public address: messages link to it, and https there makes cookies secure"
    )

    close_grace_hours: int = Field(
        72, ge=0, description="hours after its end for which a month is not closed, as late calls are waited for"
    )
    export_dir: Path | None = Field(
        None, description="folder into which the scheduler writes last month's exports; without it, it writes none"
    )
    export_kinds: str = Field("charges,usage", description="kinds of export to write there, with commas between them")
    export_formats: str = Field(
        "csv", description="formats to write each kind in, with commas between them: csv, jsonl, xlsx, parquet"
    )
    nightly_at: time = Field(
        time(2, 17), description="when the scheduler's daily jobs begin, as HH:MM of UTC; the same for every scheduler"
    )
    deepseek_url: str = Field("https://api.deepseek.com", description="where DeepSeek's balance is asked for")
    deepseek_api_key: str | None = Field(
        None, repr=False, description="the key that DeepSeek's balance is asked with; it is never stored"
    )
    reconcile_hours: int | None = Field(
        None, ge=1, description="every how many hours the scheduler compares a balance with DeepSeek's; default: never"
    )
    reconcile_account: str = Field("default", description="the account whose balance that is")
    watch_low_balance: str = Field(
        "1.00 USD, 10.00 CNY", description="amounts that a balance below is told of, with commas between them; 0: none"
    )
    watch_overdrawn: bool = Field(True, description="false: an overdrawn account is not told of")
    watch_runway_days: int = Field(
        3, ge=0, le=365, description="days of the last week's mean spend that a balance below is told of; 0: none"
    )
    watch_grant_days: str = Field(
        "7, 1", description="days before the expiry of a grant with something left, when that is told; 0: never"
    )
    watch_no_data_hours: int = Field(
        24, ge=0, le=1000, description="hours without a call, after calls on seven days in a row, to tell of; 0: none"
    )
    watch_price_days: int = Field(
        7, ge=0, le=365, description="days before a change of the prices of models in use, when that is told; 0: never"
    )
    watch_calendar_days: int = Field(
        60, ge=0, le=1000, description="days before a calendar of the price book ends, when that is told; 0: never"
    )
    watch_unpriced: int = Field(1, ge=0, description="calls without a price, from which on they are told of; 0: none")
    watch_quarantine: int = Field(1, ge=0, description="items open in quarantine, from which on to tell; 0: none")
    watch_unmetered: int = Field(
        100, ge=0, description="unmetered calls of 24 hours, above which they are told of; 0: any number"
    )
    watch_unmetered_percent: int = Field(
        5, ge=0, le=100, description="percent of the calls of 24 hours, above which unmetered ones are told of; 0: any"
    )
    watch_difference: bool = Field(True, description="false: a difference to DeepSeek's balance is not told of")
    watch_unposted_minutes: int = Field(
        15, ge=0, le=100_000, description="minutes that a call waits to be posted, after which it is told of; 0: never"
    )
    watch_frozen: bool = Field(True, description="false: a frozen account is not told of")
    watch_scheduler_minutes: int = Field(
        15, ge=0, le=100_000, description="minutes without the end of a job, after which that is told; 0: never"
    )
    watch_jobs: bool = Field(True, description="false: a job that failed or found something is not told of")
    gateway_upstream: str = Field("https://api.deepseek.com", description="where the gateway passes requests on to")
    gateway_mount: str | None = Field(
        None, description="a path, such as /deepseek, under which `serve` is the gateway, too; default: it is none"
    )
    gateway_proxy: str | None = Field(None, description="an HTTP proxy on the way there; default: none")
    gateway_vendor_key: str | None = Field(
        None,
        repr=False,
        description="the key of DeepSeek's that the gateway makes calls with; callers then need keys of costmeter's",
    )
    gateway_vendor_keys: Path | None = Field(
        None, description="a TOML file that gives accounts such keys of their own (docs/gateway-keys.md)"
    )
    gateway_database_away: Literal["open", "closed"] = Field(
        "open",
        description="while the database is away: calls go through, and known keys for an hour; or (closed) none does",
    )
    gateway_calls_per_minute: int | None = Field(
        None, ge=1, le=MOST, description="calls of a key in any 60 s that has no limit of its own; default: any number"
    )
    gateway_calls_at_once: int | None = Field(
        None, ge=1, le=MOST, description="calls on their way of a key that has no limit of its own; default: any number"
    )
    gateway_body_limit: int = Field(64 << 20, ge=1 << 10, description="bytes that the body of a call may have there")
    gateway_stall_seconds: int = Field(
        1830,
        ge=1,
        description="seconds without a byte after which the gateway gives an answer up; DeepSeek's take 1800",
    )
    gateway_drain: bool = Field(
        False, description="true: the gateway reads an answer to its end, for its usage, when its caller has left"
    )
    gateway_retries: int = Field(
        0,
        ge=0,
        le=10,
        description="further attempts of the gateway at calls that met 429, 500, 502, 503 or nobody",
    )
    gateway_include_usage: bool = Field(
        False, description="true: the gateway asks for the usage of streams whose callers did not"
    )
    gateway_stopping: Literal["off", "soft", "hard"] = Field(
        "off",
        description="soft: calls that budgets with --stops do not cover are refused by what they are expected to cost; "
        "hard: by the most that they can",
    )
    gateway_stop_at_balance: bool = Field(
        False, description="true: calls that the account's balance does not cover are refused, too"
    )
    gateway_stop_seconds: int = Field(
        60, ge=0, description="seconds that answers get which are on their way when the gateway is told to end"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least level that serve, gateway and scheduler log"
    )

    server_url: str | None = Field(None, description="records go to this costmeter server instead of the database")
    api_key: str | None = Field(None, repr=False, description="the key for that server, with the role ingest")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the library's signature, as are the next ones
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,  # noqa: ARG003
        file_secret_settings: Source,  # noqa: ARG003
    ) -> tuple[Source, ...]:
        """The environment alone: looking for files as well would take as long again."""
        return init_settings, env_settings

    @property
    def other_hosts(self) -> frozenset[str]:
        """The further hosts, as the hosts of spans are compared."""
        return frozenset(host.strip().lower() for host in self.deepseek_hosts.split(",")) - {""}

    @property
    def zone_name(self) -> str:
        zone(self.timezone, f"{PREFIX}TIMEZONE")
        return self.timezone


def read_settings() -> Settings:
    """The settings of this process; an unknown COSTMETER_ name is a warning, a bad value an InputError."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    from_files: dict[str, str] = {}
    for name in sorted(os.environ):
        if not name.startswith(PREFIX) or name in known or name in _OTHERS:
            continue
        target = name.removesuffix("_FILE")
        if target != name and target in known:
            from_files[target.removeprefix(PREFIX).lower()] = _content(name)
        else:
            warnings.warn(f"{name} is no setting of costmeter; known: {', '.join(sorted(known))}", stacklevel=2)
    try:
        return Settings(**from_files)  # type: ignore[arg-type]  # texts, which pydantic checks
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise InputError(name, first["input"], first["msg"]) from None


def _content(name: str) -> str:
    try:
        return Path(os.environ[name]).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(name, os.environ[name], f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(name, os.environ[name], "is no UTF-8 text") from None
