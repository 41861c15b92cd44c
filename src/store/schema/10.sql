-- Version 10: backups that are restored.

-- Of what is not sealed yet, units that the gateway before a restore may have sent.
ALTER TABLE totals ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;
-- 1: such units. They are looked for in Stripe's sum of their whole period before they are sent.
ALTER TABLE outbox ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;
