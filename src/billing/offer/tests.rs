use rust_decimal::Decimal;

use super::*;
use crate::domain::money::Currency;
use crate::domain::offer::{Every, OfferedPrice, Terms};
use crate::domain::units::Meter as OwnMeter;

fn usd() -> Currency {
    Currency::parse("usd").expect("a currency")
}

fn monthly(cents: i64) -> Terms {
    Terms::flat(usd(), Every::month(), Decimal::from(cents))
}

fn overage(included: u64, cents: i64) -> Terms {
    Terms::overage(usd(), included, Decimal::from(cents))
}

/// `pro`: 99 a month, 100 calls included, then 2 cents.
fn offer() -> Offer {
    let price = |suffix: &str, terms, event_name: Option<&str>| OfferedPrice {
        lookup_key: format!("tollgate_pro_{suffix}"),
        terms,
        event_name: event_name.map(Into::into),
        flaw: None,
    };
    let pro = OfferedTier {
        name: "pro".into(),
        named: Vec::new(),
        prices: vec![
            price("monthly", monthly(9_900), None),
            price("calls", overage(100, 2), Some("api_calls")),
        ],
        vacant: vec!["tollgate_pro_yearly".to_owned()],
    };
    let calls = OwnMeter { name: "calls".into(), stripe_event_name: "api_calls".into() };
    Offer { meters: vec![calls], tiers: vec![pro] }
}

fn sold(id: &str, key: Option<&str>, terms: Terms) -> SoldPrice {
    SoldPrice {
        id: id.to_owned(),
        active: true,
        lookup_key: key.map(str::to_owned),
        noted_key: None,
        product: "prod_1".to_owned(),
        meter: terms.metered.then(|| "mtr_1".to_owned()),
        terms,
        oddities: Vec::new(),
        tax_behavior: None,
    }
}

fn counting(event_name: &str) -> Meter {
    Meter {
        id: "mtr_1".to_owned(),
        event_name: event_name.to_owned(),
        formula: "sum".to_owned(),
        active: true,
        customer_key: "stripe_customer_id".to_owned(),
        value_key: "value".to_owned(),
        event_time_window: None,
    }
}

/// All of the offer.
fn found() -> Found {
    Found {
        meters: vec![counting("other"), counting("api_calls")],
        products: vec![SoldProduct { id: "prod_1".to_owned(), active: true }],
        prices: vec![
            sold("price_flat", Some("tollgate_pro_monthly"), monthly(9_900)),
            sold("price_calls", Some("tollgate_pro_calls"), overage(100, 2)),
        ],
    }
}

/// `=`, `+`, `~` and `!` by name, in order.
fn marks(plan: &Plan) -> Vec<String> {
    let mark = |entry: &Entry| match &entry.state {
        State::AsOffered { id } => format!("= {id}"),
        State::Missing => format!("+ {}", entry.subject.name()),
        State::Replaced(old) => format!("~ {}", old.id),
        State::ByHand { .. } => format!("! {}", entry.subject.name()),
    };
    plan.entries.iter().map(mark).collect()
}

/// What is said of the only one to be changed by hand.
fn said(plan: &Plan) -> String {
    let by_hand = plan.entries.iter().filter_map(|entry| match &entry.state {
        State::ByHand { why, .. } => Some(why.join("; ")),
        _ => None,
    });
    let by_hand: Vec<String> = by_hand.collect();
    assert_eq!(by_hand.len(), 1, "{plan:?}");
    by_hand[0].clone()
}

#[test]
fn what_is_there_is_left_alone_and_what_is_missing_is_made_in_an_order_that_works() {
    let plan = Plan::of(&offer(), &found(), true);
    assert_eq!(marks(&plan), ["= mtr_1", "= prod_1", "= price_flat", "= price_calls"]);
    assert!(plan.is_settled());
    let nothing = Plan::of(&offer(), &Found::default(), false);
    let all = ["+ api_calls", "+ tollgate_pro", "+ tollgate_pro_monthly", "+ tollgate_pro_calls"];
    assert_eq!((marks(&nothing), nothing.to_make()), (all.map(str::to_owned).to_vec(), 4));
    let mut half = found();
    half.prices.pop();
    let rest = Plan::of(&offer(), &half, false);
    assert_eq!(marks(&rest), ["= mtr_1", "= prod_1", "= price_flat", "+ tollgate_pro_calls"]);
    assert!(matches!(&rest.entries[3].subject, Subject::Price { product, .. } if product == "prod_1"));
}

#[test]
fn a_meter_that_counts_otherwise_is_changed_by_hand_and_nothing_is_built_on_it() {
    let with = |change: fn(&mut Meter)| {
        let mut found = found();
        change(&mut found.meters[1]);
        found.prices.pop();
        Plan::of(&offer(), &found, true)
    };
    for (change, word) in [
        ((|meter| meter.active = false) as fn(&mut Meter), "reactivate it"),
        (|meter| "count".clone_into(&mut meter.formula), "`count`, not `sum`"),
        (|meter| "user".clone_into(&mut meter.customer_key), "`user`, not `stripe_customer_id`"),
        (|meter| "n".clone_into(&mut meter.value_key), "`n`, not `value`"),
        (|meter| meter.event_time_window = Some("hour".to_owned()), "the last event alone"),
    ] {
        let plan = with(change);
        assert_eq!(
            marks(&plan),
            ["! api_calls", "= prod_1", "= price_flat", "! tollgate_pro_calls"],
            "{word}"
        );
        let State::ByHand { why, .. } = &plan.entries[0].state else { panic!("{plan:?}") };
        assert!(why.join("; ").contains(word), "{why:?}");
    }
    let mut revived = found();
    revived.meters.insert(0, Meter { active: false, id: "mtr_0".to_owned(), ..counting("api_calls") });
    assert_eq!(marks(&Plan::of(&offer(), &revived, false))[0], "= mtr_1", "an active one comes first");
}

#[test]
fn a_flawed_meter_that_was_given_up_is_out_of_the_way_and_its_prices_are_replaced() {
    let mut found = found();
    found.meters[1].formula = "count".to_owned();
    found.meters[1].active = false;
    let plan = Plan::of(&offer(), &found, true);
    assert_eq!(marks(&plan), ["+ api_calls", "= prod_1", "= price_flat", "~ price_calls"]);
    found.meters.push(Meter { active: false, id: "mtr_3".to_owned(), ..counting("api_calls") });
    let plan = Plan::of(&offer(), &found, true);
    assert!(
        matches!(&plan.entries[0].state, State::ByHand { id: Some(id), .. } if id == "mtr_3"),
        "{plan:?}"
    );
}

#[test]
fn a_price_that_differs_is_named_with_both_amounts_and_replaced_only_where_that_is_asked_for() {
    let mut found = found();
    found.prices[0].terms = monthly(7_900);
    found.prices[0].tax_behavior = Some("exclusive".to_owned());
    let plan = Plan::of(&offer(), &found, false);
    let said = said(&plan);
    assert!(
        said.starts_with(
            "it costs 79.00 usd, not 99.00 usd; a price never changes at Stripe: with --replace"
        ),
        "{said}"
    );
    assert_eq!((plan.to_make(), plan.by_hand()), (0, 1));
    let plan = Plan::of(&offer(), &found, true);
    let State::Replaced(old) = &plan.entries[2].state else { panic!("{plan:?}") };
    assert_eq!((old.id.as_str(), old.is_noted), ("price_flat", false));
    assert_eq!(old.tax_behavior.as_deref(), Some("exclusive"), "it is kept");
    assert!(!old.why.join("; ").contains("move"), "a flat price is what is paid, and nothing else: {old:?}");
    found.prices[0].noted_key = Some("tollgate_pro_monthly".to_owned());
    let plan = Plan::of(&offer(), &found, true);
    assert!(matches!(&plan.entries[2].state, State::Replaced(old) if old.is_noted));
}

#[test]
fn who_pays_a_metered_price_is_moved_first_and_a_new_one_stays_in_the_product_of_the_old() {
    let mut found = found();
    found.prices[1].terms = overage(200, 2);
    found.prices[1].product = "prod_2".to_owned();
    found.products.push(SoldProduct { id: "prod_2".to_owned(), active: true });
    assert!(said(&Plan::of(&offer(), &found, false)).ends_with("before the configuration is in force"));
    let product = |found: &Found| {
        let plan = Plan::of(&offer(), found, true);
        let Entry { subject: Subject::Price { product, .. }, state: State::Replaced(old) } = &plan.entries[3]
        else {
            panic!("{plan:?}")
        };
        assert!(old.why.join("; ").ends_with("before the configuration is in force"), "{old:?}");
        product.clone()
    };
    assert_eq!(product(&found), "prod_2");
    found.products[1].active = false;
    assert_eq!(product(&found), "prod_1", "nothing can be bought of an archived product");
}

#[test]
fn a_price_of_another_meter_an_archived_one_and_an_odd_one_differ() {
    for (change, word) in [
        ((|price| price.meter = Some("mtr_2".to_owned())) as fn(&mut SoldPrice), "it counts mtr_2"),
        (|price| price.active = false, "it is archived"),
        (|price| price.oddities = vec!["it divides".to_owned()], "it divides"),
        (|price| price.terms.metered = false, "it is not metered"),
    ] {
        let mut found = found();
        change(&mut found.prices[1]);
        let said = said(&Plan::of(&offer(), &found, false));
        assert!(said.contains(word), "{word} in {said}");
        assert_eq!(marks(&Plan::of(&offer(), &found, true))[3], "~ price_calls", "{word}");
    }
}

#[test]
fn what_the_file_names_comes_first_and_is_not_replaced() {
    let mut offer = offer();
    offer.tiers[0].named = vec!["price_named".to_owned(), "price_gone".to_owned()];
    let mut found = found();
    found.prices.push(sold("price_named", None, monthly(9_900)));
    assert_eq!(marks(&Plan::of(&offer, &found, false))[2], "= price_named");
    found.prices[2].terms = monthly(1);
    let plan = Plan::of(&offer, &found, true);
    assert!(said(&plan).contains("stripe_prices names this one"), "{plan:?}");
    assert_eq!(plan.to_make(), 0);
    found.prices[2].active = false;
    assert_eq!(marks(&Plan::of(&offer, &found, false))[2], "= price_flat", "an archived one is not sold");
}

#[test]
fn what_stripe_sells_and_the_configuration_does_not_is_told() {
    let mut found = found();
    let year = Terms::flat(usd(), Every::year(), Decimal::from(99_000));
    found.prices.push(sold("price_year", Some("tollgate_pro_yearly"), year));
    let plan = Plan::of(&offer(), &found, true);
    let said = said(&plan);
    assert!(said.starts_with("Stripe sells it for 990.00 usd, every year"), "{said}");
    found.prices[2].active = false;
    assert!(Plan::of(&offer(), &found, true).is_settled(), "it is archived");
}

#[test]
fn nothing_is_made_for_an_archived_product_or_for_an_amount_that_cannot_be_charged() {
    let mut archived = found();
    archived.products[0].active = false;
    archived.prices.pop();
    let plan = Plan::of(&offer(), &archived, false);
    assert_eq!(marks(&plan), ["= mtr_1", "! prod_1", "= price_flat", "! tollgate_pro_calls"]);
    let mut flawed = offer();
    flawed.tiers[0].prices[0].flaw = Some("29.005 usd cannot be charged".to_owned());
    let plan = Plan::of(&flawed, &Found::default(), true);
    assert_eq!(said(&plan), "29.005 usd cannot be charged");
    assert_eq!(plan.to_make(), 3);
}
