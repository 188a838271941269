"""Detached months: which account's calls of which month are away, and what the books need to know of them meanwhile.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

total = sa.Text().with_variant(sa.Numeric(38, 0), "postgresql")
instant = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "detached_month",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("detached_at", instant, nullable=False),
        sa.Column("first_at", instant, nullable=False),
        sa.Column("last_at", instant, nullable=False),
        sa.Column("first_billed", sa.String(7), nullable=True),
        sa.Column("last_billed", sa.String(7), nullable=True),
        sa.Column("booked_until", instant, nullable=True),
        sa.Column("overdraft", total, nullable=False),
        sa.Column("given", json, nullable=False),
        sa.Column("state", json, nullable=False),
        sa.PrimaryKeyConstraint("account", "month"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )


def downgrade() -> None:
    op.drop_table("detached_month")
