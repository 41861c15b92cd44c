-- Version 5: what several nodes tell each other of customers, beside their usage.

-- All facts of one holder as the fleet has them: 'c' and a customer's name, or 's' and the id of a customer at Stripe
-- whom none of ours is linked to. Written only where this node has been one of several.
CREATE TABLE facts (
    holder  TEXT PRIMARY KEY,
    -- Of those in Redis that are known here.
    version TEXT NOT NULL DEFAULT '00000000',
    -- Here, that Redis has not been told of.
    changes INTEGER NOT NULL DEFAULT 0,
    entries BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX facts_to_put ON facts (holder) WHERE changes > 0;
