"""The cost of each token meter in the rollup by days, which a statement of a month that goes on is read from.

Rows that are there already do not have it: it is null in them, and stays so when charges are added to them. A month
with such rows is read from its charges, as it was before, until `costmeter db rebuild`.

A migration is history: it names its types itself and imports nothing of costmeter.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COLUMNS = [
    f"{name}_{half}" for name in ("cost_cache_hit", "cost_cache_miss", "cost_output") for half in ("high", "low")
]


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("rollup_day", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("rollup_day", name)
