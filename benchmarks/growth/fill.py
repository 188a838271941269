"""A month of calls of one account, made by SQL as posting would have left them: rows, indexes and rollups."""

from __future__ import annotations

from sqlalchemy import Connection, text, update

from benchmarks import traffic
from costmeter.prices.read import builtin_book
from costmeter.store import editions, rollups
from costmeter.store.engine import in_transaction, open_engine
from costmeter.store.tables import AccountRow

ACCOUNT = traffic.account_name(0)
PROJECTS = 1_000
_LARGE = ("identity", "usage_event", "charge", "deduction")
# Calls spread evenly over March 2025; projects as unevenly as they are; off-peak from 16:30 to 00:30 UTC. Event ids are
# in order of time, as the recorder makes them; response ids are random, as the vendor makes them.
_CALLS = """
CREATE UNLOGGED TABLE made AS
SELECT n, decode(lpad(to_hex(n), 32, '0'), 'hex') AS event_key, md5('r' || n) AS response,
  '2025-03-01T00:00:00Z'::timestamptz + n * (interval '31 days' / (:calls + 1)) AS completed_at,
  'project-' || (:projects * power(random(), 3))::int AS project,
  CASE WHEN random() < 0.5 THEN 'deepseek-chat' ELSE 'deepseek-reasoner' END AS model,
  (random() * 200)::bigint * 64 AS hit, 1 + (random() * 8000)::bigint AS miss, 1 + (random() * 4000)::bigint AS output
FROM generate_series(1, :calls) n
"""
# By the tariffs of the price book: rates in 10^-12 USD a token, off-peak the same for both models.
_PRICED = """
CREATE UNLOGGED TABLE priced AS
SELECT made.*, tariff, hit * rate_hit AS cost_hit, miss * rate_miss AS cost_miss,
  output * rate_output AS cost_output, hit * (rate_miss - rate_hit) AS cache_savings,
  hit * (full_hit - rate_hit) + miss * (full_miss - rate_miss) + output * (full_output - rate_output)
    AS off_peak_savings
FROM (SELECT *, CASE WHEN (completed_at AT TIME ZONE 'UTC')::time >= '16:30'
  OR (completed_at AT TIME ZONE 'UTC')::time < '00:30' THEN 'off_peak' ELSE 'standard' END AS band FROM made) AS made
JOIN (VALUES
  ('deepseek-chat', 'deepseek-v3/2025-02-26', 70000::bigint, 270000::bigint, 1100000::bigint),
  ('deepseek-reasoner', 'deepseek-r1/2025-02-26', 140000, 550000, 2190000)
) AS full_rates (model, tariff, full_hit, full_miss, full_output) USING (model)
JOIN LATERAL (SELECT CASE band WHEN 'standard' THEN full_hit ELSE 35000 END AS rate_hit,
  CASE band WHEN 'standard' THEN full_miss ELSE 135000 END AS rate_miss,
  CASE band WHEN 'standard' THEN full_output ELSE 550000 END AS rate_output) AS rates ON true;
DROP TABLE made;
ALTER TABLE priced RENAME TO made
"""
_ROWS = (
    """
INSERT INTO identity
SELECT :account, 'deepseek', CASE kind WHEN 'event' THEN event_key ELSE decode(md5(kind || n), 'hex') END, event_key,
  completed_at
FROM made, (VALUES ('event'), ('response')) AS kinds (kind)
""",
    """
INSERT INTO usage_event (account, event_key, completed_at, event_id, provider, project, user_name, api_key, tags, model,
  requested_model, response_id, operation_id, status, started_at, received_at, cache_hit_tokens, cache_miss_tokens,
  output_tokens, reasoning_tokens, usage, detail)
SELECT :account, event_key, completed_at, encode(event_key, 'hex')::uuid::text, 'deepseek',
  project, 'user-' || n % 500, 'backend-prod',
  '{"team": "a"}', model, model, response::uuid::text, md5('o' || n)::uuid::text, 'ok', completed_at - interval '9 s',
  completed_at, hit, miss, output, 0,
  jsonb_build_object('prompt_tokens', hit + miss, 'completion_tokens', output, 'total_tokens', hit + miss + output,
    'prompt_cache_hit_tokens', hit, 'prompt_cache_miss_tokens', miss), '{}'
FROM made
""",
    """
INSERT INTO charge (account, event_key, completed_at, revision, sign, seq, booked_at, billing_month, status, currency,
  edition, tariff, band, cost_cache_hit, cost_cache_miss, cost_output, cost, granted, topped_up, overdraft, untracked,
  cache_savings, off_peak_savings)
SELECT :account, event_key, completed_at, 1, 1, n + 1, completed_at, '2025-03', 'priced', 'USD', :edition,
  tariff, band, cost_hit, cost_miss, cost_output, cost_hit + cost_miss + cost_output, 0,
  cost_hit + cost_miss + cost_output, 0, 0, cache_savings, off_peak_savings
FROM made
""",
    """
INSERT INTO deduction (account, event_key, completed_at, revision, ordinal, credit_id, kind, amount)
SELECT :account, event_key, completed_at, 1, 0, 1, 'topped_up', cost_hit + cost_miss + cost_output FROM made
""",
    """
INSERT INTO journal_entry (account, seq, first_seq, kind, currency, billing_month, booked_at, facts, chain)
SELECT :account, 1 + greatest(:calls, 1), 2, 'charges', 'USD', '2025-03', now(), ''::bytea, ''::bytea
""",
    """
INSERT INTO journal_line (account, seq, journal_account, amount)
SELECT :account, 1 + greatest(:calls, 1), journal_account,
  side * (SELECT sum(cost_hit + cost_miss + cost_output) FROM made)
FROM (VALUES ('usage_cost', 1), ('topped_up', -1)) AS lines (journal_account, side)
""",
    """
UPDATE credit_balance SET remaining = remaining - (SELECT sum(cost_hit + cost_miss + cost_output) FROM made)
WHERE account = :account
""",
)


def fill(url: str, calls: int, *, projects: int = PROJECTS) -> None:
    """Fill the database of an account that has a credit; its indexes are built after its rows, as a restore does."""
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
        editions.keep(connection, builtin_book(), traffic.NOW)
        again = _without_indexes(connection)
        connection.execute(text(_CALLS), {"calls": calls, "projects": projects})
        for statement in _PRICED.split(";"):
            connection.execute(text(statement))
        for statement in _ROWS:
            known = {"account": ACCOUNT, "calls": calls, "edition": builtin_book().edition}
            used = {name: value for name, value in known.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
        connection.execute(text("DROP TABLE made"))
        for statement in again:
            connection.execute(text(statement))
        moved = {"version": calls + 1, "rolled_up": calls + 1}
        connection.execute(update(AccountRow).where(AccountRow.account == ACCOUNT).values(moved))
    in_transaction(engine, lambda connection: rollups.rebuild(connection, ACCOUNT, "UTC"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()


def _without_indexes(connection: Connection) -> list[str]:
    """Drop primary keys and indexes of the large tables; returns the statements that make them again."""
    again = []
    for table in _LARGE:
        found = connection.execute(
            text(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE conrelid = CAST(:name AS regclass) AND contype = 'p'"
            ),
            {"name": table},
        ).all()
        for name, definition in found:
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
            again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        indexes = connection.execute(
            text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = :name"), {"name": table}
        ).all()
        for name, definition in indexes:
            connection.execute(text(f"DROP INDEX {name}"))
            again.append(definition.replace(" ON ONLY ", " ON "))
    return again
