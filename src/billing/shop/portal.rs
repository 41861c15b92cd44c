//! Stripe's own page for cards, invoices and cancelling.

use crate::problem::{Code, Problem};
use crate::stripe::{CallError, create_portal};

use super::operation::Operation;
use super::{Buyer, Done, Shop, ShopError};

impl Shop {
    pub(super) async fn portal(
        &self,
        buyer: &Buyer,
        return_url: &str,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        let Some(customer) = buyer.entry.stripe_customer() else {
            let detail = "this customer has no account at the payment provider yet; buy something first";
            return Err(ShopError::Refused(Problem::new(Code::BadRequest, detail)));
        };
        let key = operation.key("session")?;
        match create_portal(&self.transport, &customer, return_url, &key).await {
            Ok(url) => Ok(Done::Page { url }),
            Err(CallError::Status(error)) if is_not_set_up(error.message.as_deref()) => {
                let detail =
                    "the portal is not set up: its settings must be saved once in Stripe's dashboard";
                Err(ShopError::RefusedByStripe(Problem::new(Code::Conflict, detail)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Stripe has no code for it.
fn is_not_set_up(message: Option<&str>) -> bool {
    message.is_some_and(|message| message.starts_with("No configuration provided"))
}
