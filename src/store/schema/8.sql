-- Version 8: API keys, anonymous callers.

CREATE TABLE api_keys (
    -- In the order in which this node heard of them.
    number      INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    -- SHA-256 over the whole key, which is kept nowhere. 256 random bits need no slower one.
    digest      BLOB NOT NULL,
    customer    INTEGER NOT NULL,
    -- For people.
    name        TEXT NOT NULL,
    -- Names, as JSON; NULL: it may do everything.
    scopes      TEXT,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER,
    -- The id of the one that was made in its place.
    replaced_by TEXT,
    -- When something of the above last changed.
    changed_at  INTEGER NOT NULL,
    -- On this node, to the minute.
    last_used   INTEGER
) STRICT;
CREATE INDEX api_keys_by_customer ON api_keys (customer, number);

-- Who shows nothing: a network, by a name that no token can spell.
ALTER TABLE customers ADD COLUMN is_anonymous INTEGER GENERATED ALWAYS AS (name GLOB 'ip *') VIRTUAL;
CREATE INDEX customers_anonymous ON customers (first_seen) WHERE is_anonymous;
