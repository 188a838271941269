"""How many calls an API key may make through the gateway, in a minute and at once.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

COLUMNS = ("calls_per_minute", "calls_at_once")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("api_key", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("api_key", name)
