-- Version 7: costs that the exchange itself tells.

-- Units beyond what was reserved that nothing has paid for: they count against limits, and are not reported.
ALTER TABLE totals ADD COLUMN uncovered INTEGER NOT NULL DEFAULT 0;
