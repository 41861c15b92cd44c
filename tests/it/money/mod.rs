//! What is charged is what is billed, whatever fails.

mod delivery;
mod kills;
mod limits;
mod links;
mod load;
mod meters;
mod repeats;
mod shutdown;
mod uncharged;
