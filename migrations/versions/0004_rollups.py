"""Rollups of charges, and up to which number of each account's sequence they are kept.

The index of events by completion gives way to two small ones: of calls without usage, which a report counts, and of
what replaced an unmetered call. Rollups of what is posted already are made by `costmeter db rebuild`.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COUNTS = (
    "calls", "unpriced", "provisional", "clock_doubts", "cache_hit_tokens", "cache_miss_tokens", "output_tokens",
    "reasoning_tokens",
)  # fmt: skip
AMOUNTS = ("cost", "granted", "topped_up", "overdraft", "untracked", "cache_savings", "off_peak_savings")


def upgrade() -> None:
    op.add_column("account", sa.Column("rolled_up", sa.BigInteger(), nullable=False, server_default="0"))
    _create("rollup_quarter", sa.Column("quarter", sa.BigInteger(), nullable=False))
    _create("rollup_day", sa.Column("day", sa.String(10), nullable=False))
    op.drop_index("usage_event_by_completion", "usage_event")
    for name, columns, where in (
        ("usage_event_without_usage", ["account", "completed_at"], "cache_hit_tokens IS NULL"),
        ("usage_event_that_replaced", ["account", "supersedes"], "supersedes IS NOT NULL"),
    ):
        op.create_index(name, "usage_event", columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def _create(table: str, grain: sa.Column) -> None:
    op.create_table(
        table,
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("billing_month", sa.String(7), nullable=False),
        grain,
        sa.Column("slot", sa.LargeBinary(16), nullable=False),
        sa.Column("project", sa.String(256), nullable=False),
        sa.Column("api_key", sa.String(256), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("band", sa.String(32), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        *(sa.Column(f"{name}_{half}", sa.BigInteger(), nullable=False) for name in AMOUNTS for half in ("high", "low")),
        sa.PrimaryKeyConstraint("account", "billing_month", grain.name, "slot"),
    )


def downgrade() -> None:
    op.drop_index("usage_event_that_replaced", "usage_event")
    op.drop_index("usage_event_without_usage", "usage_event")
    op.create_index("usage_event_by_completion", "usage_event", ["account", "completed_at"])
    op.drop_table("rollup_day")
    op.drop_table("rollup_quarter")
    op.drop_column("account", "rolled_up")
