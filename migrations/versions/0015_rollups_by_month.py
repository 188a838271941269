"""Rollups by billing month, which the reports of a month are read from.

They are summed here from those by day, so that no charge has to be read: both are kept up to the same version of an
account, and where days are not kept nobody reads months.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

KEYS = ("account", "billing_month", "slot", "project", "api_key", "model", "band")
COUNTS = (
    "calls", "unpriced", "provisional", "clock_doubts", "cache_hit_tokens", "cache_miss_tokens", "output_tokens",
    "reasoning_tokens",
)  # fmt: skip
AMOUNTS = ("cost", "granted", "topped_up", "overdraft", "untracked", "cache_savings", "off_peak_savings")
SUMS = (*COUNTS, *(f"{name}_{half}" for name in AMOUNTS for half in ("high", "low")))


def upgrade() -> None:
    op.create_table(
        "rollup_month",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("billing_month", sa.String(7), nullable=False),
        sa.Column("slot", sa.LargeBinary(16), nullable=False),
        sa.Column("project", sa.String(256), nullable=False),
        sa.Column("api_key", sa.String(256), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("band", sa.String(32), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint("account", "billing_month", "slot"),
    )
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in SUMS)
    op.execute(
        f"INSERT INTO rollup_month ({', '.join((*KEYS, *SUMS))}) "
        f"SELECT {', '.join(KEYS)}, {sums} FROM rollup_day GROUP BY {', '.join(KEYS)}"
    )


def downgrade() -> None:
    op.drop_table("rollup_month")
