//! Events about the same are applied together: one reading of it, begun after all of them were stored, is news enough
//! for all. A burst costs Stripe's rate limit one call for each subscription, not for each event.

use std::collections::HashMap;

use crate::store::InboxRow;

/// Events that share a reading, in their order.
pub(super) struct Group {
    pub key: String,
    pub events: Vec<InboxRow>,
}

/// Events by what they are about, those first that have waited longest. What is in flight is left out: it may have
/// been read before they came.
pub(super) fn groups(events: Vec<InboxRow>, in_flight: &HashMap<String, usize>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for event in events {
        let key = key(&event);
        if in_flight.contains_key(key) {
            continue;
        }
        if let Some(place) = places.get(key) {
            groups[*place].events.push(event);
            continue;
        }
        let key = key.to_owned();
        places.insert(key.clone(), groups.len());
        groups.push(Group { key, events: vec![event] });
    }
    groups
}

fn key(event: &InboxRow) -> &str {
    let facts = &event.facts;
    facts.subscription.as_ref().or(facts.stripe_customer.as_ref()).unwrap_or(&event.event_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EventFacts;

    fn event(id: &str, subscription: Option<&str>, stripe_customer: Option<&str>) -> InboxRow {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let facts = EventFacts {
            subscription: own(subscription),
            stripe_customer: own(stripe_customer),
            ..EventFacts::default()
        };
        InboxRow {
            event_id: id.to_owned(),
            kind: String::new(),
            created: 0,
            facts,
            tries: 0,
            is_replayed: false,
        }
    }

    #[test]
    fn events_of_one_subscription_share_a_group_and_keep_their_order() {
        let events = || {
            vec![
                event("1", Some("sub_1"), Some("cus_1")),
                event("2", None, None),
                event("3", Some("sub_1"), None),
                event("4", None, Some("cus_1")),
                event("5", Some("sub_2"), Some("cus_1")),
            ]
        };
        let ids = |in_flight: &[&str]| {
            let in_flight = in_flight.iter().map(|key| ((*key).to_owned(), 1)).collect();
            let groups = groups(events(), &in_flight).into_iter();
            let ids = groups.map(|group| group.events.iter().map(|event| event.event_id.clone()).collect());
            ids.collect::<Vec<Vec<String>>>().iter().map(|ids| ids.join("")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ids(&[]), "13 2 4 5");
        assert_eq!(ids(&["sub_1", "2"]), "4 5");
    }
}
