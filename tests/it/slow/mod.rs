//! Clients that take their time, or more room than they should.

mod deadlines;
mod doors;
mod sizes;
