//! Customers made for ours.

use stripe_client_core::IdempotencyKey;

use super::form::Form;
use super::{Listed, change, not_a};
use crate::stripe::error::CallError;
use crate::stripe::loose::text;
use crate::stripe::transport::Transport;

/// Stripe's most.
const PAGE: u32 = 100;
/// More customers than this are not made while one request waits.
const MOST_PAGES: usize = 10;

/// Makes a customer that carries our name for them; answers `cus_…`.
///
/// # Errors
/// See [`CallError`].
pub async fn create_customer(
    transport: &Transport,
    name: &str,
    key: &IdempotencyKey,
) -> Result<String, CallError> {
    let form = Form::default().with("metadata[tollgate_customer]", name);
    let answer = change(transport, "customer_create", form.post("/customers"), key).await?;
    text(&answer, "/id").ok_or_else(|| not_a("customer"))
}

/// The customer made for a name since an instant, if there is one: the answer to its making may have been lost.
///
/// # Errors
/// See [`CallError`].
pub async fn find_customer(
    transport: &Transport,
    name: &str,
    since: i64,
) -> Result<Option<String>, CallError> {
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let form = Form::default()
            .with("limit", PAGE)
            .with("created[gte]", since)
            .with_some("starting_after", after.as_deref());
        let page = transport.calls("customer_list").read(form.get("/customers")).await?.json()?;
        let listed = Listed::read(&page, |customer| {
            Some((text(customer, "/id")?, text(customer, "/metadata/tollgate_customer")))
        });
        let found = listed.rows.iter().find(|(_, named)| named.as_deref() == Some(name));
        if let Some((id, _)) = found {
            return Ok(Some(id.clone()));
        }
        after = listed.rows.into_iter().next_back().map(|(id, _)| id).filter(|_| listed.has_more);
        if after.is_none() {
            return Ok(None);
        }
    }
    Ok(None)
}
