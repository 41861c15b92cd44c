-- Version 4: what operators set, credits, payments, messages to others, answers to repeated requests.

-- Prepaid units: one row for each change, with the balance after it. Only the last row of a customer may still change,
-- while it is what the current hour has spent.
CREATE TABLE credits (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    customer INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('granted', 'taken', 'spent', 'returned', 'expired')),
    units    INTEGER NOT NULL,
    balance  INTEGER NOT NULL CHECK (balance >= 0),
    -- What it happened for, which happens once: an invoice, a payment, an operator's request.
    cause    TEXT UNIQUE,
    reason   TEXT,
    -- Of what was granted.
    expires_at INTEGER
) STRICT;
CREATE INDEX credits_by_customer ON credits (customer, id);
CREATE TRIGGER credits_stay BEFORE UPDATE OF customer, at, kind, units, balance, expires_at ON credits
WHEN OLD.kind <> 'spent' OR NEW.kind <> 'spent' OR NEW.customer <> OLD.customer
    OR EXISTS (SELECT 1 FROM credits WHERE customer = OLD.customer AND id > OLD.id)
BEGIN SELECT raise(ABORT, 'the history of credits does not change'); END;
CREATE INDEX credits_by_age ON credits (at);

-- What is left of each grant, by the number of its row. Below 0 only between the folding of a spend and that of the
-- correction whose units it spent, when the ledger has them in that order.
CREATE TABLE credit_lots (
    customer   INTEGER NOT NULL,
    grant_id   INTEGER NOT NULL,
    units      INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (customer, grant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX credit_lots_by_end ON credit_lots (expires_at) WHERE expires_at IS NOT NULL;

-- What an operator has set for a customer: a tier, units by meter (JSON), or both, until an instant.
CREATE TABLE overrides (
    customer INTEGER PRIMARY KEY,
    tier     TEXT,
    included TEXT,
    until    INTEGER,
    reason   TEXT NOT NULL,
    set_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX overrides_by_end ON overrides (until) WHERE until IS NOT NULL;

CREATE TABLE blocks (
    customer INTEGER PRIMARY KEY,
    reason   TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

-- Who did it, why, and what it changed.
ALTER TABLE audit ADD COLUMN actor TEXT NOT NULL DEFAULT 'tollgate';
ALTER TABLE audit ADD COLUMN before TEXT;
ALTER TABLE audit ADD COLUMN after TEXT;
CREATE INDEX audit_by_customer ON audit (customer, id);
CREATE INDEX audit_by_age ON audit (at);

-- Members are numbered for each customer apart, to be erased with them. Whose the earlier ones are is not known.
UPDATE names SET name = 'member ' || number WHERE kind = 'member';

-- Units on an override, which Stripe never hears of.
ALTER TABLE totals ADD COLUMN extra INTEGER NOT NULL DEFAULT 0;

-- What a load has to look for beside the customer's row: 1 credits, 2 an override, 4 a block. Kept by the triggers.
ALTER TABLE customers ADD COLUMN marks INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER credit_lots_mark AFTER INSERT ON credit_lots
BEGIN UPDATE customers SET marks = marks | 1 WHERE number = NEW.customer AND marks & 1 = 0; END;
CREATE TRIGGER credit_lots_unmark AFTER DELETE ON credit_lots
WHEN NOT EXISTS (SELECT 1 FROM credit_lots WHERE customer = OLD.customer)
BEGIN UPDATE customers SET marks = marks & ~1 WHERE number = OLD.customer; END;
CREATE TRIGGER overrides_mark AFTER INSERT ON overrides
BEGIN UPDATE customers SET marks = marks | 2 WHERE number = NEW.customer; END;
CREATE TRIGGER overrides_unmark AFTER DELETE ON overrides
BEGIN UPDATE customers SET marks = marks & ~2 WHERE number = OLD.customer; END;
CREATE TRIGGER blocks_mark AFTER INSERT ON blocks
BEGIN UPDATE customers SET marks = marks | 4 WHERE number = NEW.customer; END;
CREATE TRIGGER blocks_unmark AFTER DELETE ON blocks
BEGIN UPDATE customers SET marks = marks & ~4 WHERE number = OLD.customer; END;

-- What lists and statistics ask for. NULL: no tier is in force.
ALTER TABLE customers ADD COLUMN tier TEXT;
ALTER TABLE customers ADD COLUMN status TEXT NOT NULL DEFAULT 'no_subscription';
ALTER TABLE customers ADD COLUMN state_since INTEGER;
-- Had a trial: there is no second one.
ALTER TABLE customers ADD COLUMN trial_at INTEGER;
ALTER TABLE customers ADD COLUMN erased_at INTEGER;
CREATE INDEX customers_by_state ON customers (tier, status, number);

-- What a subscription costs as Stripe has it: its licensed items, unit amount times quantity.
ALTER TABLE subscriptions ADD COLUMN status TEXT;
ALTER TABLE subscriptions ADD COLUMN tier TEXT;
ALTER TABLE subscriptions ADD COLUMN amount_minor INTEGER;
ALTER TABLE subscriptions ADD COLUMN interval TEXT;
ALTER TABLE subscriptions ADD COLUMN interval_count INTEGER;
ALTER TABLE subscriptions ADD COLUMN currency TEXT;
-- When Stripe last told of it, and until when it was paid for then: an older version's rows have neither.
ALTER TABLE subscriptions ADD COLUMN read_at INTEGER;
ALTER TABLE subscriptions ADD COLUMN paid_until INTEGER;
CREATE INDEX subscriptions_by_end ON subscriptions (paid_until) WHERE status IN ('active', 'trialing');
CREATE INDEX subscriptions_by_state ON subscriptions (status, tier);

-- Every change of a customer's tier or status.
CREATE TABLE state_changes (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    customer    INTEGER NOT NULL,
    from_tier   TEXT,
    to_tier     TEXT,
    from_status TEXT NOT NULL,
    to_status   TEXT NOT NULL
) STRICT;
CREATE INDEX state_changes_by_time ON state_changes (at);
CREATE INDEX state_changes_by_customer ON state_changes (customer, at);

-- Webhook events: the payload, sealed, where there is a key; what it changed.
ALTER TABLE inbox ADD COLUMN payload BLOB;
ALTER TABLE inbox ADD COLUMN effects TEXT;
ALTER TABLE inbox ADD COLUMN replayed_at INTEGER;
CREATE INDEX inbox_by_time ON inbox (received_at, event_id);
CREATE INDEX inbox_failed ON inbox (received_at) WHERE state = 'failed';
CREATE INDEX inbox_by_creation ON inbox (created);

-- Money that Stripe told of: one row for each invoice or one-time payment.
CREATE TABLE payments (
    id              TEXT PRIMARY KEY,
    customer        INTEGER,
    stripe_customer TEXT,
    kind            TEXT NOT NULL CHECK (kind IN ('invoice', 'payment')),
    outcome         TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed')),
    attempts        INTEGER NOT NULL DEFAULT 1,
    amount_minor    INTEGER NOT NULL,
    overage_minor   INTEGER NOT NULL DEFAULT 0,
    currency        TEXT NOT NULL,
    at              INTEGER NOT NULL,
    reason          TEXT,
    -- 1 when it has found its customer since: what it stands for is done then.
    due             INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX payments_by_time ON payments (at);
CREATE INDEX payments_by_customer ON payments (customer, at);
CREATE INDEX payments_of_nobody ON payments (stripe_customer) WHERE customer IS NULL;
CREATE INDEX payments_due ON payments (id) WHERE due;
CREATE TRIGGER payments_adopt AFTER UPDATE OF stripe_customer ON customers
WHEN NEW.stripe_customer IS NOT NULL
BEGIN
    UPDATE payments SET customer = NEW.number, due = 1
    WHERE customer IS NULL AND stripe_customer = NEW.stripe_customer;
END;

-- What a client's Idempotency-Key stands for: digests of the key and of the request, and the answer.
CREATE TABLE operations (
    customer INTEGER NOT NULL,
    key      BLOB NOT NULL,
    request  BLOB NOT NULL,
    -- Rises when Stripe would only repeat a stored failure: then another key is sent.
    attempt  INTEGER NOT NULL DEFAULT 0,
    answer   TEXT,
    at       INTEGER NOT NULL,
    PRIMARY KEY (customer, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX operations_by_age ON operations (at);

-- Sessions of Stripe's checkout that were begun here; at most one of a kind is open for a customer.
CREATE TABLE checkouts (
    session    TEXT PRIMARY KEY,
    customer   INTEGER NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('tier', 'credits')),
    -- "pro monthly", or a credit pack's name.
    what       TEXT NOT NULL,
    units      INTEGER,
    -- Digest of all that was asked for.
    request    BLOB NOT NULL,
    url        TEXT,
    state      TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'completed', 'expired')),
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX checkouts_one_open ON checkouts (customer, kind) WHERE state = 'open';
CREATE INDEX checkouts_by_age ON checkouts (at);

-- Messages to others: written with what they tell of, once for each cause; delivered to each target by itself.
CREATE TABLE notices (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    customer INTEGER,
    cause    TEXT NOT NULL UNIQUE,
    -- Empty once only its cause is kept: what was told is not told again.
    data     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    -- 1 once there is a delivery for each target that wants it.
    spread   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX notices_by_age ON notices (at);
CREATE INDEX notices_by_customer ON notices (customer) WHERE customer IS NOT NULL;
CREATE INDEX notices_to_spread ON notices (id) WHERE NOT spread;
CREATE INDEX notices_with_data ON notices (at) WHERE data <> '';
CREATE INDEX notices_by_kind ON notices (kind, id);
CREATE TABLE deliveries (
    notice      INTEGER NOT NULL,
    target      TEXT NOT NULL,
    state       TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    tries       INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER NOT NULL,
    -- The target's last answer, or why there was none.
    answer      TEXT,
    settled_at  INTEGER,
    PRIMARY KEY (notice, target)
) STRICT, WITHOUT ROWID;
-- By target: one that is dead holds up no other.
CREATE INDEX deliveries_due ON deliveries (target, next_try_at) WHERE state = 'pending';
CREATE INDEX deliveries_failed ON deliveries (target, notice) WHERE state = 'failed';
CREATE INDEX deliveries_settled ON deliveries (settled_at) WHERE state <> 'pending';

-- Few credits are told, once for each grant. How few is a row of `meta`; without it nobody is told. Another one is the
-- tier of those of whom none was noted.
CREATE TRIGGER credits_low AFTER INSERT ON credits
WHEN NEW.units < 0
    AND NEW.balance < (SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta WHERE key = 'credits_low')
BEGIN
    INSERT OR IGNORE INTO notices (kind, customer, cause, data, at)
    SELECT 'credits.low', number,
           'credits_low:' || number || ':' || coalesce((SELECT id FROM credits
               WHERE customer = NEW.customer AND kind = 'granted' ORDER BY id DESC LIMIT 1), 0),
           json_object(
               'customer', name,
               'tier', coalesce(tier, (SELECT CAST(value AS TEXT) FROM meta WHERE key = 'default_tier')),
               'status', status, 'credits', NEW.balance
           ), NEW.at
    FROM customers WHERE number = NEW.customer;
END;
CREATE TRIGGER credits_low_again AFTER UPDATE OF balance ON credits
WHEN NEW.balance < OLD.balance
    AND NEW.balance < (SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta WHERE key = 'credits_low')
BEGIN
    INSERT OR IGNORE INTO notices (kind, customer, cause, data, at)
    SELECT 'credits.low', number,
           'credits_low:' || number || ':' || coalesce((SELECT id FROM credits
               WHERE customer = NEW.customer AND kind = 'granted' ORDER BY id DESC LIMIT 1), 0),
           json_object(
               'customer', name,
               'tier', coalesce(tier, (SELECT CAST(value AS TEXT) FROM meta WHERE key = 'default_tier')),
               'status', status, 'credits', NEW.balance
           ), NEW.at
    FROM customers WHERE number = NEW.customer;
END;

-- Raw events on their way to the handler that was there before.
CREATE TABLE forwards (
    event_id    TEXT PRIMARY KEY,
    signature   TEXT NOT NULL,
    body        BLOB NOT NULL,
    next_try_at INTEGER NOT NULL,
    tries       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX forwards_due ON forwards (next_try_at);
