"""The first schema: identities, events, charges, credits, journal, periods, editions, quarantine.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTITIONED = ("usage_event", "charge", "deduction")
ADDED_ONLY = (
    "identity", "usage_event", "price_edition", "charge", "deduction", "credit", "repayment", "expiry", "journal_entry",
    "journal_line",
)  # fmt: skip
BY_COMPLETION = {"postgresql_partition_by": "RANGE (completed_at)"}

money = sa.BigInteger()
total = sa.Text().with_variant(sa.Numeric(38, 0), "postgresql")
instant = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
key = sa.LargeBinary(16)
json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def text(length: int) -> sa.String:
    return sa.String(length)


def column(name: str, kind: sa.types.TypeEngine, *, null: bool = False) -> sa.Column:
    return sa.Column(name, kind, nullable=null, autoincrement=False)


def upgrade() -> None:
    _accounts_and_events()
    _charges()
    _credits()
    _journal()
    _quarantine()
    _partitions_and_triggers()


def _accounts_and_events() -> None:
    op.create_table(
        "account",
        column("account", text(64)),
        column("currency", text(3)),
        column("timezone", text(64)),
        column("version", sa.BigInteger()),
        column("overdraft", total),
        column("chain", key),
        column("created_at", instant),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "identity",
        column("account", text(64)),
        column("provider", text(32)),
        column("identity", key),
        column("event_key", key),
        column("completed_at", instant),
        sa.PrimaryKeyConstraint("account", "provider", "identity"),
    )
    op.create_table(
        "usage_event",
        column("account", text(64)),
        column("event_key", key),
        column("completed_at", instant),
        column("event_id", text(256)),
        column("provider", text(32)),
        column("project", text(256), null=True),
        column("user_name", text(256), null=True),
        column("api_key", text(256), null=True),
        column("tags", json),
        column("model", text(256)),
        column("requested_model", text(256), null=True),
        column("response_id", text(256), null=True),
        column("operation_id", text(256), null=True),
        column("status", text(16)),
        column("started_at", instant, null=True),
        column("received_at", instant),
        column("cache_hit_tokens", sa.BigInteger(), null=True),
        column("cache_miss_tokens", sa.BigInteger(), null=True),
        column("output_tokens", sa.BigInteger(), null=True),
        column("reasoning_tokens", sa.BigInteger(), null=True),
        column("usage", json, null=True),
        column("http_status", sa.SmallInteger(), null=True),
        column("error_code", text(256), null=True),
        column("reason", text(256), null=True),
        column("detail", json),
        column("supersedes", key, null=True),
        column("supersedes_at", instant, null=True),
        sa.PrimaryKeyConstraint("account", "event_key", "completed_at"),
        **BY_COMPLETION,
    )
    op.create_index("usage_event_by_completion", "usage_event", ["account", "completed_at"])
    op.create_table(
        "pending",
        column("account", text(64)),
        column("event_key", key),
        column("completed_at", instant),
        sa.PrimaryKeyConstraint("account", "event_key"),
    )


def _charges() -> None:
    op.create_table(
        "price_edition",
        column("edition", text(64)),
        column("text", sa.Text()),
        column("stored_at", instant),
        sa.PrimaryKeyConstraint("edition"),
    )
    op.create_table(
        "charge",
        column("account", text(64)),
        column("event_key", key),
        column("completed_at", instant),
        column("revision", sa.Integer()),
        column("supersedes", sa.Integer(), null=True),
        column("sign", sa.SmallInteger()),
        column("seq", sa.BigInteger()),
        column("booked_at", instant),
        column("billing_month", text(7)),
        column("adjusts", text(7), null=True),
        column("status", text(16)),
        column("currency", text(3)),
        column("edition", text(64)),
        column("tariff", text(256), null=True),
        column("band", text(32), null=True),
        column("cost_cache_hit", money, null=True),
        column("cost_cache_miss", money, null=True),
        column("cost_output", money, null=True),
        column("cost", money, null=True),
        column("granted", money),
        column("topped_up", money),
        column("overdraft", money),
        column("untracked", money),
        column("cache_savings", money),
        column("off_peak_savings", money),
        column("flags", text(256), null=True),
        sa.PrimaryKeyConstraint("account", "event_key", "completed_at", "revision"),
        sa.CheckConstraint("cost = cost_cache_hit + cost_cache_miss + cost_output", name="charge_is_its_lines"),
        sa.CheckConstraint("granted + topped_up + overdraft + untracked = coalesce(cost, 0)", name="charge_is_paid"),
        sa.CheckConstraint("(status = 'unpriced') = (cost IS NULL)", name="unpriced_is_not_zero"),
        sa.CheckConstraint("sign IN (1, -1)", name="charge_counts_once"),
        **BY_COMPLETION,
    )
    op.create_index("charge_by_month", "charge", ["account", "billing_month"])
    op.create_index("charge_by_completion", "charge", ["account", "completed_at"])
    op.create_table(
        "deduction",
        column("account", text(64)),
        column("event_key", key),
        column("completed_at", instant),
        column("revision", sa.Integer()),
        column("ordinal", sa.Integer()),
        column("credit_id", sa.BigInteger()),
        column("kind", text(16)),
        column("amount", money),
        sa.PrimaryKeyConstraint("account", "event_key", "completed_at", "revision", "ordinal"),
        **BY_COMPLETION,
    )
    op.create_index("deduction_by_credit", "deduction", ["account", "credit_id"])


def _credits() -> None:
    op.create_table(
        "credit",
        column("account", text(64)),
        column("credit_id", sa.BigInteger()),
        column("kind", text(16)),
        column("amount", money),
        column("currency", text(3)),
        column("effective_at", instant),
        column("expires_at", instant, null=True),
        column("reference", text(256), null=True),
        column("booked_at", instant),
        sa.PrimaryKeyConstraint("account", "credit_id"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
        sa.UniqueConstraint("account", "reference", name="credit_once_per_reference"),
        sa.CheckConstraint("amount > 0", name="credit_gives"),
        sa.CheckConstraint("kind = 'granted' OR expires_at IS NULL", name="topped_up_never_expires"),
    )
    op.create_table(
        "credit_balance",
        column("account", text(64)),
        column("credit_id", sa.BigInteger()),
        column("remaining", money),
        column("expired", money),
        sa.PrimaryKeyConstraint("account", "credit_id"),
        sa.ForeignKeyConstraint(["account", "credit_id"], ["credit.account", "credit.credit_id"]),
        sa.CheckConstraint("remaining >= 0 AND expired >= 0 AND expired <= remaining", name="credit_gives_what_it_has"),
    )
    for name in ("repayment", "expiry"):
        op.create_table(
            name,
            column("account", text(64)),
            column("seq", sa.BigInteger()),
            column("credit_id", sa.BigInteger()),
            column("amount", money),
            column("effective_at", instant),
            column("booked_at", instant),
            sa.PrimaryKeyConstraint("account", "seq"),
            sa.ForeignKeyConstraint(["account", "credit_id"], ["credit.account", "credit.credit_id"]),
        )


def _journal() -> None:
    op.create_table(
        "journal_entry",
        column("account", text(64)),
        column("seq", sa.BigInteger()),
        column("first_seq", sa.BigInteger()),
        column("kind", text(16)),
        column("currency", text(3)),
        column("billing_month", text(7)),
        column("booked_at", instant),
        column("facts", key),
        column("chain", key),
        sa.PrimaryKeyConstraint("account", "seq"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )
    op.create_table(
        "journal_line",
        column("account", text(64)),
        column("seq", sa.BigInteger()),
        column("journal_account", text(16)),
        column("amount", money),
        sa.PrimaryKeyConstraint("account", "seq", "journal_account"),
        sa.ForeignKeyConstraint(["account", "seq"], ["journal_entry.account", "journal_entry.seq"]),
        sa.CheckConstraint("amount <> 0", name="line_moves_money"),
    )
    op.create_table(
        "period",
        column("account", text(64)),
        column("month", text(7)),
        column("state", text(16)),
        column("last_seq", sa.BigInteger(), null=True),
        column("changed_at", instant),
        sa.PrimaryKeyConstraint("account", "month"),
        sa.ForeignKeyConstraint(["account"], ["account.account"]),
    )


def _quarantine() -> None:
    op.create_table(
        "quarantine",
        column("account", text(64)),
        column("item", key),
        column("kind", text(16)),
        column("field", text(256), null=True),
        column("error", sa.Text()),
        column("event_id", text(256), null=True),
        column("completed_at", instant, null=True),
        column("billing_month", text(7)),
        column("received_at", instant),
        column("body", json),
        column("dropped_fields", sa.Integer()),
        column("place", sa.Text()),
        column("state", text(16)),
        sa.PrimaryKeyConstraint("account", "item"),
    )


def _partitions_and_triggers() -> None:
    """Month partitions are made ahead by a job; until then all rows are in the default ones."""
    if op.get_bind().dialect.name == "postgresql":
        for table in PARTITIONED:
            op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        op.execute(
            "CREATE FUNCTION costmeter_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME; END $$"
        )
        for table in ADDED_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_only_added BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION costmeter_refuse()"
            )
        return
    for table in ADDED_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are only added'); END"
            )


def downgrade() -> None:
    for table in (
        "quarantine", "period", "journal_line", "journal_entry", "expiry", "repayment", "credit_balance", "credit",
        "deduction", "charge", "price_edition", "pending", "usage_event", "identity", "account",
    ):  # fmt: skip
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION costmeter_refuse()")
