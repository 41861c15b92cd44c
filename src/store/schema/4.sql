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
    reason   TEXT
) STRICT;
CREATE INDEX credits_by_customer ON credits (customer, id);

-- What is left of each grant; grant 0 is what came back from charges that were undone.
CREATE TABLE credit_lots (
    customer          INTEGER NOT NULL,
    grant_id          INTEGER NOT NULL,
    units             INTEGER NOT NULL CHECK (units > 0),
    granted_at_micros INTEGER NOT NULL,
    expires_at        INTEGER,
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
