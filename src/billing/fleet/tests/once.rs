//! What is done by one node.

use std::sync::Arc;

use super::{NOW, Node, grant, world};
use crate::domain::notice::NoticeKind;
use crate::fleet::Report;
use crate::store::{EventFacts, InboxOutcome, InboxRow, NewEvent, NewNotice, Subscriber};

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
async fn every_node_gets_the_reports_on_meter_events_that_one_has_got() {
    let (redis, nodes) = world(3, 0).await;
    let receive = async |node: &Node, id: &str, created: i64| {
        let kind = "v1.billing.meter.error_report_triggered".to_owned();
        let event = NewEvent { id: id.into(), kind, created, means_something: true, ..NewEvent::default() };
        node.store().receive(event, *NOW).await.expect("stores");
    };
    receive(&nodes[0], "evt_1", *NOW - 60).await;
    receive(&nodes[0], "evt_old", *NOW - 6 * 86_400).await;
    receive(&nodes[1], "evt_2", *NOW - 50).await;
    redis.lock().expect("whole").reports =
        vec![Report { event: "evt_x".into(), kind: "invoice.paid".into(), created: *NOW }];
    for round in 0..3 {
        for node in &nodes {
            node.facts.share_reports().await.expect("shares");
            if round == 0 {
                // Redis has lost it: it is named again.
                redis.lock().expect("whole").reports.retain(|report| report.event == "evt_x");
            }
        }
    }
    for node in &nodes {
        let due = node.store().due_events(*NOW + 9, 9).await.expect("reads");
        let mut ids: Vec<_> =
            due.iter().map(|event| &*event.event_id).filter(|id| *id != "evt_old").collect();
        ids.sort_unstable();
        assert_eq!(ids, ["evt_1", "evt_2"]);
    }
    let shown = redis.lock().expect("whole").reports.clone();
    assert!(shown.iter().all(|report| report.event != "evt_old"), "{shown:?}");
    redis.lock().expect("whole").reports.iter_mut().for_each(|report| report.created -= 6 * 86_400);
    nodes[2].facts.share_reports().await.expect("shares");
    let left: Vec<_> = redis.lock().expect("whole").reports.iter().map(|report| report.created).collect();
    assert!(left.iter().all(|created| *created > *NOW - 86_400), "what all have read is not named for ever");
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
