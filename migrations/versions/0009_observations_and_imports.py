"""What DeepSeek's own books say: balances as observed, and usage as its console exported it.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

instant = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
total = sa.Text().with_variant(sa.Numeric(38, 0), "postgresql")
ADDED_ONLY = ("console_import", "import_void", "imported_usage", "imported_cost")


def upgrade() -> None:
    op.create_table(
        "balance_observation",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("observed_at", instant, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("granted", total, nullable=False),
        sa.Column("topped_up", total, nullable=False),
        sa.Column("total", total, nullable=False),
        sa.Column("body", json, nullable=False),
        sa.Column("expected_at", instant, nullable=False),
        sa.Column("expected_granted", total, nullable=False),
        sa.Column("expected_topped_up", total, nullable=False),
        sa.Column("version_before", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("unposted", sa.Integer(), nullable=False),
        sa.Column("findings", json, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("decided_at", instant, nullable=True),
        sa.Column("decided_by", sa.String(256), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account", "number"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )
    op.create_table(
        "console_import",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("import_id", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("imported_at", instant, nullable=False),
        sa.Column("imported_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("account", "import_id"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )
    op.create_table(
        "import_void",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("import_id", sa.LargeBinary(16), nullable=False),
        sa.Column("voided_at", instant, nullable=False),
        sa.Column("by_whom", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "import_id"),
        sa.ForeignKeyConstraint(["account", "import_id"], ["console_import.account", "console_import.import_id"]),
    )
    _create_imported(
        "imported_usage",
        sa.Column("api_key", sa.String(256), nullable=False),
        sa.Column("key_fingerprint", sa.String(16), nullable=False),
        sa.Column("meter", sa.String(32), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name="imported_usage_is_used"),
    )
    _create_imported(
        "imported_cost",
        sa.Column("wallet", sa.String(16), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("cost >= 0", name="imported_cost_is_paid"),
    )
    for table in ADDED_ONLY:
        _forbid_changes(table)


def _create_imported(name: str, *columns: sa.Column[object] | sa.CheckConstraint) -> None:
    op.create_table(
        name,
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("import_id", sa.LargeBinary(16), nullable=False),
        sa.Column("slot", sa.LargeBinary(16), nullable=False),
        sa.Column("starts_at", instant, nullable=False),
        sa.Column("ends_at", instant, nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("account", "import_id", "slot"),
        sa.ForeignKeyConstraint(["account", "import_id"], ["console_import.account", "console_import.import_id"]),
    )
    op.create_index(f"{name}_by_start", name, ["account", "starts_at"])
    op.create_index(f"{name}_by_slot", name, ["account", "slot"])


def _forbid_changes(table: str) -> None:
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
    op.drop_table("imported_cost")
    op.drop_table("imported_usage")
    op.drop_table("import_void")
    op.drop_table("console_import")
    op.drop_table("balance_observation")
