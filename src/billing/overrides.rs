//! Overrides that have come to their end. To the second they are out of force by themselves; here they are taken back,
//! and what has become of the customer is kept and told.

use crate::customers::Customers;
use crate::domain::usage::Now;
use crate::store::{Store, StoreError};

use super::transitions::note_state;

/// Overrides that are taken back at once.
const SLICE: u32 = 500;

/// Takes back what has ended. One that is not gets its turn the next time.
pub async fn end_overrides(store: &Store, customers: &Customers, now: Now) -> Result<(), StoreError> {
    for row in store.ended_overrides(now.seconds(), SLICE).await? {
        let number = row.number;
        // Told before it is forgotten: whoever dies in between tells it again, which changes nothing.
        note_state(store, customers, row, false).await?;
        store.end_override(number, now.seconds()).await?;
    }
    Ok(())
}
