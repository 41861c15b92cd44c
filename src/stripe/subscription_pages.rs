//! All subscriptions of the account, a page of 100 at a time, the newest first.
//!
//! A page begins behind a subscription: what is made meanwhile moves nothing, and reading can go on at any time.

use stripe_billing::subscription::{ListSubscription, ListSubscriptionStatus};
use stripe_client_core::StripeRequest;

use super::error::CallError;
use super::limiter::Lane;
use super::loose;
use super::subscription::SubscriptionObject;
use super::transport::Transport;

/// Stripe's most.
const PAGE: i64 = 100;

/// A part of all subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionPage {
    /// Ended ones too; their customers are expanded.
    pub subscriptions: Vec<SubscriptionObject>,
    /// Objects that cannot be read as a subscription.
    pub unreadable: u64,
    /// The subscription behind which the next page begins; none on the last page.
    pub next: Option<String>,
}

/// The page behind a subscription, or the first. One attempt.
///
/// # Errors
/// See [`CallError`]. When Stripe no longer has the subscription behind which the page was to begin, the error
/// [is missing](CallError::is_missing).
pub async fn subscription_page(
    transport: &Transport,
    after: Option<&str>,
) -> Result<SubscriptionPage, CallError> {
    let mut request = ListSubscription::new()
        .status(ListSubscriptionStatus::All)
        .limit(PAGE)
        .expand(vec!["data.customer".to_owned()]);
    if let Some(after) = after {
        request = request.starting_after(after);
    }
    let page = transport.once("subscription_list", Lane::Sync, request.build(), None).await?.json()?;
    let next = loose::next_page(&page, after)?;
    let found = loose::elements(&page, "/data");
    let subscriptions: Vec<_> = found.iter().filter_map(SubscriptionObject::read).collect();
    let unreadable = u64::try_from(found.len() - subscriptions.len()).unwrap_or(u64::MAX);
    Ok(SubscriptionPage { subscriptions, unreadable, next })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::stripe::test_server::{TestServer, says};

    fn page(ids: &[&str], has_more: bool) -> Value {
        let object = |id: &&str| json!({ "id": id, "customer": { "id": "cus_1" }, "status": "active" });
        json!({ "data": ids.iter().map(object).collect::<Vec<_>>(), "has_more": has_more })
    }

    #[tokio::test]
    async fn pages_follow_one_another_to_the_last() {
        let pages = [page(&["sub_4", "sub_3"], true), page(&["sub_2", "sub_1"], false)];
        let server = TestServer::start(pages.map(|page| says(200, page))).await;
        let transport = server.transport();
        let first = subscription_page(&transport, None).await.expect("a page");
        assert_eq!((first.subscriptions.len(), first.next.as_deref()), (2, Some("sub_3")));
        let last = subscription_page(&transport, first.next.as_deref()).await.expect("a page");
        assert_eq!((last.subscriptions.len(), last.next), (2, None));
        let targets: Vec<_> = server.received().into_iter().map(|request| request.target).collect();
        let all = "/v1/subscriptions?expand[0]=data.customer&limit=100";
        assert_eq!(targets, [format!("{all}&status=all"), format!("{all}&starting_after=sub_3&status=all")]);
    }

    #[tokio::test]
    async fn what_is_no_subscription_is_counted_and_loses_no_other() {
        let mut odd = page(&["sub_3", "sub_2", "sub_1"], true);
        odd["data"][1] = json!({ "id": "sub_2" });
        let server = TestServer::start([says(200, odd)]).await;
        let page = subscription_page(&server.transport(), None).await.expect("a page");
        assert_eq!((page.subscriptions.len(), page.unreadable, page.next.as_deref()), (2, 1, Some("sub_1")));
    }

    #[tokio::test]
    async fn an_answer_that_would_never_end_or_is_no_list_is_an_error() {
        let lost = json!({ "data": [{}], "has_more": true });
        for answer in [page(&["sub_1"], true), page(&[], true), lost, json!({}), json!({ "data": 1 })] {
            let server = TestServer::start([says(200, answer.clone())]).await;
            let read = subscription_page(&server.transport(), Some("sub_1")).await;
            assert!(matches!(read, Err(CallError::Unreadable { .. })), "{answer}: {read:?}");
        }
    }
}
