"""Budgets, what they hold back, alerts, and telling them.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

instant = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
total = sa.Text().with_variant(sa.Numeric(38, 0), "postgresql")


def upgrade() -> None:
    op.add_column("account", sa.Column("budgets", sa.BigInteger(), nullable=False, server_default="0"))
    _create_budgets()
    _create_alerts()
    _index_what_is_watched()


def _create_budgets() -> None:
    op.create_table(
        "budget",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("filters", json, nullable=False),
        sa.Column("per", sa.String(16), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("unit", sa.String(8), nullable=False),
        sa.Column("amount", total, nullable=False),
        sa.Column("thresholds", json, nullable=False),
        sa.Column("stops", sa.Boolean(), nullable=False),
        sa.Column("starts_at", instant, nullable=False),
        sa.Column("ends_at", instant, nullable=True),
        sa.Column("channels", json, nullable=True),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("removed_at", instant, nullable=True),
        sa.Column("removed_by", sa.String(256), nullable=True),
        sa.PrimaryKeyConstraint("account", "number"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )
    _index("budget_by_name", "budget", "name", "removed_at IS NULL", unique=True)
    op.create_table(
        "budget_period",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("starts_at", instant, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("spent", total, nullable=False),
        sa.Column("room", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "starts_at", "number"),
        sa.ForeignKeyConstraint(["account", "number"], ["budget.account", "budget.number"]),
        sa.CheckConstraint("reserved >= 0", name="budget_period_reserves"),
    )
    op.create_table(
        "reservation",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("reservation_id", sa.LargeBinary(16), nullable=False),
        sa.Column("identity", sa.LargeBinary(16), nullable=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("parts", json, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reserved_at", instant, nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.Column("ended_at", instant, nullable=True),
        sa.PrimaryKeyConstraint("account", "reservation_id"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )
    _index("reservation_by_call", "reservation", "identity", "state IN ('open', 'settled')", unique=True)
    _index("reservation_by_expiry", "reservation", "expires_at", "state = 'open'")


def _create_alerts() -> None:
    op.create_table(
        "alert",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("period", sa.String(32), nullable=False),
        sa.Column("threshold", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("raised_at", instant, nullable=False),
        sa.Column("recovered_at", instant, nullable=True),
        sa.Column("facts", json, nullable=False),
        sa.PrimaryKeyConstraint("account", "rule", "period", "threshold"),
    )
    op.create_table(
        "notice",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("notice_id", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(256), nullable=False),
        sa.Column("facts", json, nullable=False),
        sa.Column("channels", json, nullable=True),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("routed_at", instant, nullable=True),
        sa.Column("message", json, nullable=True),
        sa.PrimaryKeyConstraint("account", "notice_id"),
    )
    _index("notice_unrouted", "notice", "created_at", "routed_at IS NULL")
    op.create_table(
        "notice_delivery",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("notice_id", sa.LargeBinary(16), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", instant, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("ended_at", instant, nullable=True),
        sa.PrimaryKeyConstraint("account", "notice_id", "channel"),
        sa.ForeignKeyConstraint(["account", "notice_id"], ["notice.account", "notice.notice_id"]),
    )
    _index("notice_delivery_due", "notice_delivery", "due_at", "state = 'waiting'")


def _index_what_is_watched() -> None:
    _index("alert_standing", "alert", "kind", "recovered_at IS NULL")
    _index("rollup_day_unpriced", "rollup_day", "day", "unpriced <> 0")
    _index("quarantine_open", "quarantine", "received_at", "state = 'open'")


def _index(name: str, table: str, column: str, where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, ["account", column], unique=unique, postgresql_where=condition, sqlite_where=condition)


def downgrade() -> None:
    op.drop_index("quarantine_open", "quarantine")
    op.drop_index("rollup_day_unpriced", "rollup_day")
    for table in ("notice_delivery", "notice", "alert", "reservation", "budget_period", "budget"):
        op.drop_table(table)
    op.drop_column("account", "budgets")
