//! What is done by one node.

use std::sync::Arc;

use super::{NOW, Node, grant, world};
use crate::domain::notice::NoticeKind;
use crate::store::{EventFacts, InboxOutcome, InboxRow, NewNotice, Subscriber};

fn event(id: &str, kind: &str) -> InboxRow {
    let facts = EventFacts { tollgate_customer: Some("a".into()), ..EventFacts::default() };
    InboxRow { event_id: id.into(), kind: kind.into(), created: *NOW, facts, tries: 0, is_replayed: false }
}

#[tokio::test]
async fn an_event_is_applied_by_one_node_unless_that_one_is_lost_or_redis_is() {
    let (redis, nodes) = world(2, 0).await;
    let (one, other) = (&nodes[0].facts, &nodes[1].facts);
    let (paid, wrong) = (event("evt_1", "invoice.paid"), event("evt_2", "v1.billing.meter.no_meter_found"));
    assert_eq!(one.elsewhere(&paid).await, None);
    assert_eq!(one.elsewhere(&paid).await, None, "after a crash it is still this node's");
    assert!(matches!(other.elsewhere(&paid).await, Some(InboxOutcome::Postponed { .. })));
    let old = InboxRow { created: *NOW - 601, ..paid.clone() };
    assert_eq!(other.elsewhere(&old).await, None, "whoever did it may not have come to say so");
    assert!(matches!(other.elsewhere(&paid).await, Some(InboxOutcome::Postponed { .. })));
    one.applied(&paid, &InboxOutcome::Failed { reason: String::new() }).await;
    assert_eq!(other.elsewhere(&paid).await, None, "another may try what failed");
    redis.lock().expect("whole").lost_nodes.push(1);
    assert_eq!(one.elsewhere(&paid).await, None);
    one.applied(&paid, &InboxOutcome::Done { effects: Vec::new() }).await;
    assert!(matches!(other.elsewhere(&paid).await, Some(InboxOutcome::Done { .. })));
    assert_eq!(other.elsewhere(&InboxRow { is_replayed: true, ..paid.clone() }).await, None);
    assert_eq!(one.elsewhere(&wrong).await, None);
    assert_eq!(other.elsewhere(&wrong).await, None, "each looks for its own rows");
    redis.lock().expect("whole").losses = 1;
    assert_eq!(other.elsewhere(&paid).await, None);
}

#[tokio::test]
async fn an_event_is_done_once_the_fleet_has_what_it_brought() {
    let (redis, nodes) = world(2, 0).await;
    let (one, other, paid) = (&nodes[0], &nodes[1].facts, event("evt_1", "invoice.paid"));
    assert_eq!(one.facts.elsewhere(&paid).await, None);
    let number = one.number("a", *NOW).await;
    grant(one.store(), number, "invoice:in_1", *NOW).await;
    redis.lock().expect("whole").puts_are_lost = true;
    one.facts.applied(&paid, &InboxOutcome::Done { effects: Vec::new() }).await;
    redis.lock().expect("whole").puts_are_lost = false;
    // Its machine does not come back: whoever reads the event at Stripe applies it.
    redis.lock().expect("whole").lost_nodes.push(0);
    assert_eq!(other.elsewhere(&paid).await, None);
    one.facts.applied(&paid, &InboxOutcome::Done { effects: Vec::new() }).await;
    assert!(matches!(other.elsewhere(&paid).await, Some(InboxOutcome::Done { .. })));
    other.compare_all().await.expect("compares");
    assert_eq!(nodes[1].known().await, one.known().await, "it was put before");
    assert_eq!(one.known().await.len(), 2);
}

#[tokio::test]
async fn others_are_told_of_the_same_by_one_node_and_of_a_change_that_comes_again_anew() {
    let (redis, nodes) = world(2, 0).await;
    let to: Arc<[Subscriber]> = vec![Subscriber { name: "crm".into(), types: None }].into();
    let tell = async |node: &Node, cause: &str, what: &str| {
        node.store().customer("first".into(), None, *NOW).await.expect("a customer");
        let number = node.number("a", *NOW).await;
        let data = serde_json::json!({ "customer": "a", "what": what });
        let (kind, cause) = (NoticeKind::TierChanged, cause.to_owned());
        let notice = NewNotice { kind, customer: Some(number), cause, data };
        assert!(node.store().notify(notice, *NOW).await.expect("notes"));
        assert_eq!(node.facts.spread(to.clone()).await.expect("spreads"), 1);
        node.store().due_deliveries("crm".into(), *NOW + 9, 9).await.expect("reads").len()
    };
    assert_eq!(tell(&nodes[0], "state:1:x", "up").await, 1);
    assert_eq!(tell(&nodes[1], "state:7:x", "up").await, 0, "under whichever number");
    assert_eq!(tell(&nodes[0], "state:2:x", "up").await, 2, "it comes again");
    assert_eq!(tell(&nodes[1], "trial:sub_1:5", "ends").await, 1);
    assert_eq!(tell(&nodes[0], "trial:sub_1:5", "ends, told otherwise").await, 2);
    redis.lock().expect("whole").losses = 1;
    assert_eq!(tell(&nodes[1], "state:9:x", "up").await, 2, "Redis is away");
}
