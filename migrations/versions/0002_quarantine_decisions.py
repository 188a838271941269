"""What people decide: of an item in quarantine, and of an account whose ledger failed verify; how far that has seen.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

instant = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("decided_at", instant, nullable=True))
    op.add_column("quarantine", sa.Column("decided_by", sa.String(256), nullable=True))
    op.add_column("quarantine", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("account", sa.Column("frozen_at", instant, nullable=True))
    op.create_index("charge_by_seq", "charge", ["account", "seq"])
    op.create_table(
        "account_freeze",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("decided_at", instant, nullable=False),
        sa.Column("decided_by", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", json, nullable=True),
        sa.PrimaryKeyConstraint("account", "number"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )
    op.create_table(
        "checkpoint",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("state", json, nullable=False),
        sa.Column("verified_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("account"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )
    _only_add("account_freeze")


def _only_add(table: str) -> None:
    """Rows of facts are refused to be updated or deleted; the function stands since the first schema."""
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
    op.drop_table("checkpoint")
    op.drop_table("account_freeze")
    op.drop_index("charge_by_seq", "charge")
    op.drop_column("account", "frozen_at")
    for name in ("reason", "decided_by", "decided_at"):
        op.drop_column("quarantine", name)
