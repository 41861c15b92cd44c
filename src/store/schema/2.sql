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
CREATE INDEX totals_open ON totals (customer) WHERE open <> 0;
CREATE INDEX totals_by_end ON totals (period_end);
-- What is left to seal, by the end of its period: at the edge that most have in common a slice reads its own alone.
CREATE INDEX totals_ending ON totals (period_end) WHERE sealable AND reportable > sealed;
CREATE TABLE estimates (
    record       INTEGER NOT NULL,
    meter        INTEGER NOT NULL,
    customer     INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    reportable   INTEGER NOT NULL,
    PRIMARY KEY (record, meter)
) STRICT, WITHOUT ROWID;

-- The period in which a subscription's usage counts now: totals that hold usage from before and after its start are
-- split there.
ALTER TABLE subscriptions ADD COLUMN window_start INTEGER;
ALTER TABLE subscriptions ADD COLUMN window_end INTEGER;
-- Of several with a window the highest counts; what the others' edges lie in is not split.
ALTER TABLE subscriptions ADD COLUMN window_rank INTEGER;

-- Idempotency keys of charged requests: a digest of key and request.
CREATE TABLE idempotency (
    customer INTEGER NOT NULL,
    key      BLOB NOT NULL,
    at       INTEGER NOT NULL,
    -- The charge's record: a correction of it takes the key away, one of an earlier charge does not.
    record   INTEGER NOT NULL,
    -- How often it has been repeated for nothing.
    repeats  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (customer, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);
CREATE INDEX idempotency_latest ON idempotency (customer, at);

-- Configurations that records were made under, by their fingerprint.
CREATE TABLE configurations (
    fingerprint INTEGER PRIMARY KEY,
    first_seen  INTEGER NOT NULL
) STRICT;

-- What the last comparison with Stripe's sums found, by meter: units missing or too much there.
CREATE TABLE reconciled (
    meter      INTEGER PRIMARY KEY,
    difference INTEGER NOT NULL,
    at         INTEGER NOT NULL
) STRICT;

-- An operator asked for another try of a dead row while a newer one of its total was unanswered: it follows that one.
-- A total never has two unanswered rows, and what was asked for is not forgotten, whoever settles the newer one.
ALTER TABLE outbox ADD COLUMN retry_at INTEGER;
CREATE INDEX outbox_queued ON outbox (customer, meter, period_start, sequence)
    WHERE state = 'dead' AND retry_at IS NOT NULL;
CREATE TRIGGER outbox_next_in_queue AFTER UPDATE OF state ON outbox
WHEN OLD.state = 'pending' AND NEW.state <> 'pending'
BEGIN
    UPDATE OR IGNORE outbox
    SET state = 'pending', retry_at = NULL, settled_at = NULL, next_try_at = unixepoch()
    WHERE sequence = (SELECT sequence FROM outbox
                      WHERE state = 'dead' AND retry_at IS NOT NULL AND customer = NEW.customer
                        AND meter = NEW.meter AND period_start = NEW.period_start AND kind = NEW.kind
                      ORDER BY sequence LIMIT 1);
END;
-- What Stripe has not accepted, in the order in which it was sealed.
CREATE INDEX outbox_open ON outbox (sequence) WHERE state <> 'delivered';

-- Usage records that a loss of power took before they were synced: the holes that a start found in the ledger, kept
-- before the fold passed them, so that they are not taken for damage.
CREATE TABLE lost (
    first_record INTEGER PRIMARY KEY,
    last_record  INTEGER NOT NULL,
    segment      INTEGER NOT NULL,
    offset       INTEGER NOT NULL,
    found_at     INTEGER NOT NULL
) STRICT;
