-- Version 3: no start reads all subscriptions.

-- The highest version in use.
CREATE INDEX subscriptions_by_version ON subscriptions (version);
