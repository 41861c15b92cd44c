-- Version 6: a fleet: what one machine has not sent another one may send.

-- Rows of the outbox that a total has had, on a node of a fleet. The next one's identifier follows from it.
ALTER TABLE totals ADD COLUMN sealed_rows INTEGER NOT NULL DEFAULT 0;

-- Lost nodes whose unsent usage this one has taken over, until they have reckoned with it.
CREATE TABLE fences (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    slot      INTEGER NOT NULL,
    -- The lost node's.
    ledger    TEXT NOT NULL UNIQUE,
    -- When it was fenced, by Redis's clock: tells one fence of a node from the next.
    at_millis INTEGER NOT NULL,
    -- 1: another taker, itself lost by now, had it before and may have sent some of it.
    inherited INTEGER NOT NULL,
    -- 1 once all of it is in the outbox.
    is_whole  INTEGER NOT NULL DEFAULT 0,
    -- What has been told of its rows' answers.
    told      TEXT NOT NULL DEFAULT ''
) STRICT;
-- What was fenced, as the lost node had written it: Redis may lose it.
CREATE TABLE fenced (
    fence INTEGER NOT NULL,
    field TEXT NOT NULL,
    body  TEXT NOT NULL,
    PRIMARY KEY (fence, field)
) STRICT, WITHOUT ROWID;

-- The fence that a row comes from: its units are in none of our totals.
ALTER TABLE outbox ADD COLUMN fence INTEGER;
CREATE INDEX outbox_taken ON outbox (fence, sequence) WHERE fence IS NOT NULL;
-- One unanswered usage row for each total of our own.
DROP INDEX outbox_one_unanswered;
CREATE UNIQUE INDEX outbox_one_unanswered ON outbox (customer, meter, period_start)
    WHERE state = 'pending' AND kind = 'usage' AND fence IS NULL;
