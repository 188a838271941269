"""Closing a month: the closings, corrections of a balance, where a credit comes from, and entries by billing month.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

instant = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("credit", sa.Column("origin", sa.String(16), nullable=False, server_default="credit"))
    op.create_index("entry_by_month", "journal_entry", ["account", "billing_month"])
    op.create_table(
        "correction",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("effective_at", instant, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by_whom", sa.String(256), nullable=False),
        sa.Column("booked_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("account", "seq"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
        sa.CheckConstraint("amount <> 0", name="correction_moves_money"),
    )
    op.create_table(
        "closing",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", instant, nullable=False),
        sa.Column("by_whom", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("blockers", json, nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("account", "month"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )
    for table in ("correction", "closing"):
        _only_added(table)


def _only_added(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {table}_only_added BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION costmeter_refuse()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are only added'); END"
        )


def downgrade() -> None:
    op.drop_table("closing")
    op.drop_table("correction")
    op.drop_index("entry_by_month", "journal_entry")
    op.drop_column("credit", "origin")
