-- Version 10: backups that are restored.

-- Of what is not sealed yet, units that the gateway before a restore may have sent, and since when: the last unit that
-- the backup's store had counted.
ALTER TABLE totals ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN restored_from INTEGER;
-- Such units: that gateway can have sent them from the one instant to the other, and they are looked for in Stripe's sum
-- of that time before they are sent. Those that were found keep it.
ALTER TABLE outbox ADD COLUMN sought_from INTEGER;
ALTER TABLE outbox ADD COLUMN sought_until INTEGER;
