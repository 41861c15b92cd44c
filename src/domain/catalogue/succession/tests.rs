//! Random series of catalogues: what has a name keeps its number, and means what the newest file says.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use rust_decimal::Decimal;

use super::*;
use crate::domain::catalogue::Report;
use crate::domain::money::Currency;
use crate::domain::path::NormalPath;
use crate::domain::route::{Found, StatusSet, UpstreamId};
use crate::domain::tier::{Mode, Price};
use crate::domain::units::Meter;

const METERS: [&str; 4] = ["calls", "tokens", "images", "bytes"];
const TIERS: [&str; 4] = ["free", "starter", "pro", "large"];
const FEATURES: [&str; 4] = ["export", "alerts", "history", "bulk"];
const ROUTES: [(&str, &str, &[&str]); 6] = [
    ("/a", "/a", &[]),
    ("/a/{id}", "/a/7", &["GET"]),
    ("/a/{id}", "/a/7", &["PUT", "POST"]),
    ("/b", "/b", &[]),
    ("/{*rest}", "/elsewhere", &[]),
    ("*", "/nowhere/else", &[]),
];

/// A file, in short: what it lists, in its order, and a number from which all its amounts follow.
#[derive(Clone, Debug)]
struct File {
    meters: Vec<&'static str>,
    tiers: Vec<&'static str>,
    features: Vec<&'static str>,
    routes: Vec<usize>,
    salt: u64,
}

fn any_file() -> impl Strategy<Value = File> {
    let some = |names: &[&'static str; 4]| subsequence(names.to_vec(), 1..=4).prop_shuffle();
    let routes = subsequence((0..ROUTES.len()).collect::<Vec<_>>(), 1..=ROUTES.len()).prop_shuffle();
    (some(&METERS), some(&TIERS), some(&FEATURES), routes, 0..1_000_u64)
        .prop_map(|(meters, tiers, features, routes, salt)| File { meters, tiers, features, routes, salt })
}

/// What a file says of a meter in a tier or on a route.
fn amount(file: &File, of: &str, meter: &str) -> u64 {
    1 + of.bytes().chain(meter.bytes()).fold(file.salt, |sum, byte| sum * 31 % 9_973 + u64::from(byte))
}

/// What a file asks of, or gives with, a thing of a name.
fn features(file: &File, of: &str) -> Vec<&'static str> {
    file.features.iter().copied().filter(|feature| amount(file, of, feature).is_multiple_of(2)).collect()
}

fn bits(file: &File, of: &str) -> FeatureSet {
    let held = features(file, of);
    FeatureSet::from_indices((0..file.features.len()).filter(|at| held.contains(&file.features[*at])))
}

fn tier(file: &File, at: usize) -> Arc<Tier> {
    let name = file.tiers[at];
    let amounts = || file.meters.iter().map(|meter| amount(file, name, meter));
    Arc::new(Tier {
        id: TierId(u16::try_from(at).expect("few")),
        name: name.into(),
        price: Price::default(),
        stripe_prices: vec![format!("price_{name}")],
        included: amounts().map(Allowance::Units).collect(),
        overage: Overage::Priced { unit_amounts: amounts().map(Decimal::from).collect(), cap: None },
        rate: None,
        features: bits(file, name),
        limits: Vec::new(),
        trial_days: None,
        credits_per_cycle: 0,
        credits_expire: None,
        degraded_allowance: 0,
        mode: Mode::Enforce,
        member: Some(Arc::new(MemberTerms {
            included: amounts().map(Allowance::Units).collect(),
            rate: None,
        })),
    })
}

fn route(file: &File, at: usize) -> Route {
    let (pattern, _, methods) = ROUTES[file.routes[at]];
    let methods = match methods {
        [] => Methods::All,
        list => Methods::These(list.iter().map(|method| method.parse().expect("a method")).collect()),
    };
    let cost = (0..).zip(&file.meters).map(|(id, meter)| (MeterId(id), amount(file, pattern, meter)));
    Route {
        id: RouteId(u16::try_from(at).expect("few")),
        pattern: pattern.into(),
        methods,
        upstream: UpstreamId(0),
        cost: Cost::new(cost),
        measures: [].into(),
        requires: bits(file, pattern),
        charge_on: StatusSet::default(),
        rate: None,
        public: false,
        extras: None,
    }
}

fn catalogue(file: &File) -> Catalogue {
    // As a file has it, the fallback is the last.
    let mut ordered = file.clone();
    ordered.routes.sort_by_key(|at| ROUTES[*at].0 == "*");
    let mut routes: Vec<_> = (0..ordered.routes.len()).map(|at| route(&ordered, at)).collect();
    let fallback = routes.pop_if(|route| &*route.pattern == "*");
    let meter = |name: &&str| Meter { name: (*name).into(), stripe_event_name: (*name).into() };
    Catalogue {
        currency: Currency::parse("usd").expect("a currency"),
        meters: file.meters.iter().map(meter).collect::<Vec<_>>().into(),
        tiers: (0..file.tiers.len()).map(|at| tier(file, at)).collect::<Vec<_>>().into(),
        default_tier: Some(TierId(0)),
        anonymous_tier: None,
        features: file.features.iter().map(|&name| name.to_owned()).collect(),
        scopes: Vec::new(),
        routes: RouteTable::build(routes, fallback).expect("no conflict"),
        report: Report::All,
        past_due_grace: 0,
        credit_packs: Vec::new(),
        silence_grace: 0,
    }
}

/// The number of everything that ever had one.
type Given = BTreeMap<String, usize>;

fn note(given: &mut Given, kind: &str, names: impl Iterator<Item = String>) {
    for (number, name) in names.enumerate() {
        let before = *given.entry(format!("{kind} {name}")).or_insert(number);
        assert_eq!(before, number, "{kind} {name} has moved");
    }
}

fn note_all(given: &mut Given, catalogue: &Catalogue) {
    note(given, "meter", catalogue.meters.by_number().iter().map(|meter| meter.name.to_string()));
    note(given, "tier", catalogue.tiers.by_number().iter().map(|tier| tier.name.to_string()));
    note(given, "feature", catalogue.features.iter().cloned());
    let routes = catalogue.routes.by_number().iter();
    note(given, "route", routes.map(|route| format!("{:?}", route_name(route))));
    let ids = catalogue.tiers.by_number().iter().map(|tier| tier.id.index());
    assert!(ids.eq(0..catalogue.tiers.by_number().len()), "a tier says another number than it has");
    let ids = catalogue.routes.by_number().iter().map(|route| route.id.index());
    assert!(ids.eq(0..catalogue.routes.by_number().len()), "a route says another number than it has");
}

/// That a catalogue says what the file says, by name.
fn says(catalogue: &Catalogue, file: &File) {
    assert!(catalogue.meters.iter().map(|meter| &*meter.name).eq(file.meters.iter().copied()));
    assert!(catalogue.tiers.iter().map(|tier| &*tier.name).eq(file.tiers.iter().copied()));
    let default = catalogue.default_tier.map(|id| catalogue.tier(id).name.to_string());
    assert_eq!(default.as_deref(), file.tiers.first().copied());
    let all = catalogue.meters.by_number().len();
    for tier in catalogue.tiers.iter() {
        assert_eq!(tier.included.len(), all);
        for meter in catalogue.meter_ids() {
            let units = amount(file, &tier.name, &catalogue.meter(meter).name);
            assert_eq!(tier.included(meter), Allowance::Units(units));
            assert_eq!(tier.charges(meter), Some(units.into()));
            let member = tier.member.as_ref().expect("each has them");
            assert_eq!(member.included[meter.index()], Allowance::Units(units));
        }
        same_features(catalogue, file, tier.features, &tier.name);
    }
    for tier in catalogue.tiers.by_number() {
        let Overage::Priced { unit_amounts, .. } = &tier.overage else { panic!("{tier:?}") };
        assert_eq!((tier.included.len(), unit_amounts.len()), (all, all), "{} is too short", tier.name);
        assert_eq!(catalogue.rank(tier.id), file.tiers.iter().position(|name| *name == &*tier.name));
    }
}

fn same_features(catalogue: &Catalogue, file: &File, held: FeatureSet, of: &str) {
    let mut held = catalogue.feature_names(held);
    let mut told = features(file, of);
    held.sort_unstable();
    told.sort_unstable();
    assert_eq!(held, told, "of {of}");
}

/// That requests find what they would find in the file's own table.
fn finds(catalogue: &Catalogue, file: &File) {
    let alone = self::catalogue(file);
    for (_, path, _) in ROUTES {
        for method in ["GET", "POST", "DELETE"] {
            let path = NormalPath::parse(path).expect("a path");
            let method: Method = method.parse().expect("a method");
            let [found, expected] =
                [catalogue, &alone].map(|catalogue| match catalogue.routes.find(&path, &method) {
                    Found::Route(route) => format!("{} {:?}", route.pattern, route.methods),
                    Found::MethodNotAllowed(allow) => format!("405 {allow}"),
                    Found::Ambiguous => "400".to_owned(),
                    Found::Nothing => "404".to_owned(),
                });
            assert_eq!(found, expected);
            if let Found::Route(route) = catalogue.routes.find(&path, &method) {
                let cost: BTreeMap<_, _> =
                    route.cost.iter().map(|(meter, units)| (&*catalogue.meter(meter).name, units)).collect();
                let told = file.meters.iter().map(|meter| (*meter, amount(file, &route.pattern, meter)));
                assert_eq!(cost, told.collect());
                same_features(catalogue, file, route.requires, &route.pattern);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn names_keep_their_numbers_over_any_series_of_files(files in vec(any_file(), 2..8)) {
        let mut given = Given::new();
        let mut catalogue = catalogue(&files[0]);
        note_all(&mut given, &catalogue);
        for file in &files[1..] {
            catalogue = self::catalogue(file).succeeding(&catalogue).expect("few names");
            note_all(&mut given, &catalogue);
            says(&catalogue, file);
            finds(&catalogue, file);
        }
    }
}

#[test]
fn what_is_retired_means_what_it_meant_to_those_under_way() {
    let file = |meters: &[&'static str], tiers: &[&'static str], salt| File {
        meters: meters.to_vec(),
        tiers: tiers.to_vec(),
        features: vec!["export"],
        routes: vec![0],
        salt,
    };
    let first = catalogue(&file(&["calls", "tokens"], &["free", "pro"], 1));
    let second = catalogue(&file(&["images", "calls"], &["pro"], 2)).succeeding(&first).expect("few names");
    let (pro, tokens) = (TierId(1), MeterId(1));
    assert_eq!(second.tier(pro).included(tokens), first.tier(pro).included(tokens));
    assert_eq!(second.tier(pro).charges(tokens), first.tier(pro).charges(tokens));
    assert_eq!(second.tier(TierId(0)).included(tokens), first.tier(TierId(0)).included(tokens));
    assert_eq!(second.tier_of_price("price_free", None), None, "a retired tier is sold to nobody");
    assert_eq!(second.tier_of_price("price_pro", None), Some(pro));
}

#[test]
fn features_that_are_used_up_are_refused() {
    let named = |from: usize| {
        let mut catalogue = catalogue(&File {
            meters: vec!["calls"],
            tiers: vec!["free"],
            features: vec![],
            routes: vec![0],
            salt: 0,
        });
        catalogue.features = (from..from + 100).map(|number| format!("feature {number}")).collect();
        catalogue
    };
    let first = named(0);
    assert!(named(28).succeeding(&first).is_ok());
    let error = named(29).succeeding(&first).expect_err("there are 129");
    assert!(error.to_string().contains("too many features"), "{error}");
}
