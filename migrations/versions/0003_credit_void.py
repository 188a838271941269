"""Voided credits: which, why, by whom, and at which number of the account's sequence.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

instant = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "credit_void",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("credit_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by_whom", sa.String(256), nullable=False),
        sa.Column("booked_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("account", "credit_id"),
        sa.ForeignKeyConstraint(["account", "credit_id"], ["credit.account", "credit.credit_id"]),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER credit_void_only_added BEFORE UPDATE OR DELETE ON credit_void "
            "FOR EACH ROW EXECUTE FUNCTION costmeter_refuse()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER credit_void_no_{verb.lower()} BEFORE {verb} ON credit_void "
            "BEGIN SELECT RAISE(ABORT, 'rows of credit_void are only added'); END"
        )


def downgrade() -> None:
    op.drop_table("credit_void")
