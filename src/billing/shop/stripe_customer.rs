//! Who stands for a customer at Stripe; made once, with the first order.

use sha2::{Digest, Sha256};

use crate::clock;
use crate::store::{Begun, Sha256Digest};
use crate::stripe::{create_customer, find_customer};

use super::operation::stripe_key;
use super::{Buyer, Shop, ShopError};

/// Stripe's clock may be behind ours by so much.
const CLOCKS_DIFFER_SECONDS: i64 = 300;

impl Shop {
    /// The customer's own, or a new one that carries their name. Making it goes on under a key of the customer's,
    /// whichever order it is for.
    pub(super) async fn stripe_customer(&self, buyer: &Buyer) -> Result<String, ShopError> {
        if let Some(known) = buyer.entry.stripe_customer() {
            return Ok(known.to_string());
        }
        // No client's key has this digest: theirs are visible ASCII.
        let row: Sha256Digest = Sha256::digest(b"\0customer").into();
        let (name, number) = (&*buyer.entry.name, buyer.entry.number);
        let begun = self.store.begin_operation(number, row, row, clock::now().seconds()).await?;
        let made = match begun {
            Begun::Answered(made) => made,
            Begun::Again { attempt, since } => {
                let since = since - CLOCKS_DIFFER_SECONDS;
                match find_customer(&self.transport, name, since).await? {
                    Some(made) => made,
                    None => self.make(name, number, row, attempt).await?,
                }
            }
            Begun::New | Begun::Another => self.make(name, number, row, 0).await?,
        };
        self.store.answer_operation(number, row, made.clone()).await?;
        self.applier.link(name, &made, clock::now()).await?;
        // News of the new customer may have been quicker.
        Ok(buyer.entry.stripe_customer().map_or(made, |known| known.to_string()))
    }

    async fn make(
        &self,
        name: &str,
        number: u32,
        row: Sha256Digest,
        attempt: u32,
    ) -> Result<String, ShopError> {
        let key = stripe_key(&format!("{name}:customer.{attempt}"))?;
        let made = create_customer(&self.transport, name, &key).await.map_err(ShopError::from);
        if let Err(error) = &made
            && error.wants_another_key()
        {
            self.store.next_attempt(number, row).await?;
        }
        made
    }
}
