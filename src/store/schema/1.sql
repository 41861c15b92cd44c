-- Version 1. Instants are seconds since the epoch unless the name says otherwise.

-- Facts about this data_dir, such as the ledger's id.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Names that records refer to by number: routes, tiers, meters, members.
CREATE TABLE names (
    number INTEGER PRIMARY KEY,
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    UNIQUE (kind, name)
) STRICT;

-- Who pays. The link to Stripe comes from a token's claim or from Stripe's own objects.
CREATE TABLE customers (
    number          INTEGER PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    stripe_customer TEXT,
    linked_by       TEXT CHECK (linked_by IN ('claim', 'stripe')),
    -- When it first had a link: what lies in periods that ended before is not reported.
    linked_at       INTEGER,
    first_seen      INTEGER NOT NULL
) STRICT;
CREATE INDEX customers_by_stripe ON customers (stripe_customer) WHERE stripe_customer IS NOT NULL;

-- How far the ledger has been folded: one row.
CREATE TABLE fold (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    segment     INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    next_record INTEGER NOT NULL
) STRICT;
INSERT INTO fold VALUES (1, 0, 0, 0);

-- Units by customer, meter and period. `reportable` is what Stripe shall hear of, `sealed` what the outbox has taken.
CREATE TABLE totals (
    customer        INTEGER NOT NULL,
    meter           INTEGER NOT NULL,
    period_start    INTEGER NOT NULL,
    period_end      INTEGER NOT NULL,
    included        INTEGER NOT NULL,
    credits         INTEGER NOT NULL,
    overage         INTEGER NOT NULL,
    reportable      INTEGER NOT NULL,
    sealed          INTEGER NOT NULL DEFAULT 0,
    -- 1 when the customer had a link to Stripe before the period's end.
    sealable        INTEGER NOT NULL,
    first_at_micros INTEGER NOT NULL,
    last_at_micros  INTEGER NOT NULL,
    PRIMARY KEY (customer, meter, period_start)
) STRICT, WITHOUT ROWID;
CREATE INDEX totals_to_seal ON totals (customer, meter, period_start) WHERE sealable AND reportable > sealed;
-- What was taken back after it had been sealed; carried against the next batch.
CREATE INDEX totals_in_credit ON totals (customer, meter) WHERE sealed > reportable;

-- The sum of what is not sealable, by meter, kept as it changes: there may be millions of such totals.
CREATE TABLE unlinked (
    meter INTEGER PRIMARY KEY,
    units INTEGER NOT NULL
) STRICT;

-- Units and requests by hour.
CREATE TABLE hourly (
    customer INTEGER NOT NULL,
    hour     INTEGER NOT NULL,
    route    INTEGER NOT NULL,
    meter    INTEGER NOT NULL,
    units    INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (customer, hour, route, meter)
) STRICT, WITHOUT ROWID;

-- Meter events: identifier, value and timestamp never change once sealed.
CREATE TABLE outbox (
    sequence        INTEGER PRIMARY KEY AUTOINCREMENT,
    identifier      TEXT NOT NULL UNIQUE,
    customer        INTEGER NOT NULL,
    meter           INTEGER NOT NULL,
    period_start    INTEGER NOT NULL,
    stripe_customer TEXT NOT NULL,
    event_name      TEXT NOT NULL,
    value           INTEGER NOT NULL CHECK (value > 0),
    timestamp       INTEGER NOT NULL,
    state           TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    sealed_at       INTEGER NOT NULL,
    -- Durable before the first try; a duplicate answer to a row never tried before is an alarm.
    first_tried_at  INTEGER,
    tries           INTEGER NOT NULL DEFAULT 0,
    -- How often Stripe stored an answer: each needs another Idempotency-Key.
    answers         INTEGER NOT NULL DEFAULT 0,
    next_try_at     INTEGER NOT NULL,
    settled_at      INTEGER,
    reason          TEXT
) STRICT;
CREATE INDEX outbox_pending ON outbox (next_try_at) WHERE state = 'pending';
CREATE INDEX outbox_age ON outbox (sealed_at) WHERE state = 'pending';
CREATE UNIQUE INDEX outbox_one_unanswered ON outbox (customer, meter, period_start) WHERE state = 'pending';
CREATE INDEX outbox_delivered ON outbox (settled_at) WHERE state = 'delivered';
CREATE INDEX outbox_dead ON outbox (sequence) WHERE state = 'dead';

-- Webhook events: ids, types and what the state needs; no payload.
CREATE TABLE inbox (
    event_id    TEXT PRIMARY KEY,
    type        TEXT NOT NULL,
    created     INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    facts       TEXT NOT NULL,
    state       TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'ignored', 'failed')),
    tries       INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER NOT NULL DEFAULT 0,
    settled_at  INTEGER,
    reason      TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_settled ON inbox (settled_at) WHERE state IN ('done', 'ignored');
CREATE INDEX inbox_pending ON inbox (next_try_at, received_at) WHERE state = 'pending';

-- Subscriptions as last read from Stripe.
CREATE TABLE subscriptions (
    id              TEXT PRIMARY KEY,
    stripe_customer TEXT NOT NULL,
    facts           TEXT NOT NULL,
    -- Taken before the read; a smaller one never replaces a larger.
    version         INTEGER NOT NULL,
    reread_at       INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriptions_by_customer ON subscriptions (stripe_customer);
CREATE INDEX subscriptions_to_reread ON subscriptions (reread_at) WHERE reread_at IS NOT NULL;

-- Stripe customers whose subscriptions have been listed once.
CREATE TABLE listed (
    stripe_customer TEXT PRIMARY KEY,
    at              INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What changed and why, for people.
CREATE TABLE audit (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    action   TEXT NOT NULL,
    customer INTEGER,
    detail   TEXT NOT NULL
) STRICT;
