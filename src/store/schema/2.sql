-- Version 2: receipts, late news from Stripe, repairs, idempotency keys.

-- 'repair': sent because Stripe turned out to hold less; its units are in no total.
ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'usage' CHECK (kind IN ('usage', 'repair'));
-- Every record below this number, of this customer, meter and period, is in this row or in an earlier one.
ALTER TABLE outbox ADD COLUMN next_record INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN last_tried_at INTEGER;
-- What Stripe said when the row was settled.
ALTER TABLE outbox ADD COLUMN answer TEXT;
-- Stripe accepted the row, and told later that it does not count.
ALTER TABLE outbox ADD COLUMN rejected_at INTEGER;
-- Unanswered for too long: what Stripe's summary held when it was first compared, and when that was.
ALTER TABLE outbox ADD COLUMN compared_units INTEGER;
ALTER TABLE outbox ADD COLUMN compared_at INTEGER;
-- One unanswered usage row for each total; one unanswered repair for each minute of an account at Stripe.
DROP INDEX outbox_one_unanswered;
CREATE UNIQUE INDEX outbox_one_unanswered ON outbox (customer, meter, period_start)
    WHERE state = 'pending' AND kind = 'usage';
CREATE UNIQUE INDEX outbox_one_repair ON outbox (stripe_customer, event_name, timestamp / 60)
    WHERE state = 'pending' AND kind = 'repair';
CREATE INDEX outbox_by_total ON outbox (customer, meter, period_start, next_record);
CREATE INDEX outbox_by_time ON outbox (stripe_customer, event_name, timestamp);

-- Reportable units of estimates whose truth has not come yet: they are not sealed.
ALTER TABLE totals ADD COLUMN open INTEGER NOT NULL DEFAULT 0;
CREATE INDEX totals_by_end ON totals (period_end);
CREATE TABLE estimates (
    record       INTEGER NOT NULL,
    meter        INTEGER NOT NULL,
    customer     INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    reportable   INTEGER NOT NULL,
    PRIMARY KEY (record, meter)
) STRICT, WITHOUT ROWID;

-- Idempotency keys of charged requests: a digest of key and request.
CREATE TABLE idempotency (
    customer INTEGER NOT NULL,
    key      BLOB NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (customer, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);

-- Configurations that records were made under, by their fingerprint.
CREATE TABLE configurations (
    fingerprint INTEGER PRIMARY KEY,
    first_seen  INTEGER NOT NULL
) STRICT;

-- What the last comparison with Stripe's sums found, by meter: units in the ledger less units at Stripe.
CREATE TABLE reconciled (
    meter      INTEGER PRIMARY KEY,
    difference INTEGER NOT NULL,
    at         INTEGER NOT NULL
) STRICT;
