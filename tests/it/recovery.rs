//! What a start makes of what the last run left.
