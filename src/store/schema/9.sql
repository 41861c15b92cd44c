-- Version 9: what members of a customer have used, under tiers that cap it.

CREATE TABLE member_totals (
    customer     INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    member       INTEGER NOT NULL,
    meter        INTEGER NOT NULL,
    period_end   INTEGER NOT NULL,
    units        INTEGER NOT NULL,
    PRIMARY KEY (customer, period_start, member, meter)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_totals_by_end ON member_totals (period_end);
