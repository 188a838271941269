"""What was decided about an item of quarantine: when, by whom and why.

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


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("decided_at", instant, nullable=True))
    op.add_column("quarantine", sa.Column("decided_by", sa.String(256), nullable=True))
    op.add_column("quarantine", sa.Column("reason", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("reason", "decided_by", "decided_at"):
        op.drop_column("quarantine", name)
