//! `tiers diff` and `tiers apply`: what they say, make and leave alone.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Shop, TO_MAKE, counts, done, price};
use crate::harness::{Stripe, config};

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_shown_then_made_and_the_second_time_there_is_nothing_to_do() {
    let stripe = Stripe::alone().await;
    let shop = Shop::of(&stripe.url(), "");
    let before = counts(&stripe).await;
    let diff = shop.tiers(&["diff"]);
    assert_eq!(diff.code, Some(1), "{}", diff.stderr);
    assert!(diff.stdout.starts_with("Stripe, test mode, http://127.0.0.1:"), "{}", diff.stdout);
    assert!(diff.stdout.contains("nothing for the first 1000 units, then 0.03 usd a unit, every month"));
    assert!(
        diff.stdout
            .ends_with(&format!("{TO_MAKE} to make (+, ~), 0 to change by hand (!), 1 as configured (=)\n"))
    );
    assert!(
        !diff.stdout.contains("sk_test") && !diff.stdout.contains("tollgate_max_bytes"),
        "{}",
        diff.stdout
    );

    let refused = shop.tiers(&["apply"]);
    assert_eq!((refused.code, refused.stdout), (Some(1), diff.stdout), "the plan, and no more");
    assert!(refused.stderr.contains("add --yes"), "{}", refused.stderr);
    assert_eq!(counts(&stripe).await, before, "nothing was made");

    let applied = shop.tiers(&["apply", "--yes"]);
    assert!(done(&applied).contains(&format!("made {TO_MAKE}/{TO_MAKE}: price tollgate_")));
    let after = counts(&stripe).await;
    assert_eq!(after, [before[0] + 2, before[1] + 3, before[2] + 9]);
    let metered = price(&stripe, "tollgate_team_bytes").await;
    assert_eq!(metered["unit_amount_decimal"], "0.07", "nothing is included: there is no free step");
    assert_eq!(
        metered["metadata"],
        json!({ "tollgate_tier": "team", "tollgate_lookup_key": "tollgate_team_bytes" })
    );
    assert_eq!(metered["product"], "tollgate_team");
    let yearly = price(&stripe, "tollgate_max_api_calls").await;
    assert_eq!(yearly["recurring"]["interval"], "month", "quotas follow the month of a yearly tier too");

    let again = shop.tiers(&["apply", "--yes"]);
    assert!(done(&again).ends_with(&format!("nothing to do: all {} are as configured\n", TO_MAKE + 1)));
    assert_eq!(read(done(&shop.tiers(&["apply", "--yes", "--json"])))["made"], json!([]));
    done(&shop.tiers(&["diff"]));
    assert_eq!(counts(&stripe).await, after, "nothing was made twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_broke_off_is_gone_on_with_and_nothing_is_made_twice() {
    let stripe = Stripe::alone().await;
    let shop = Shop::of(&stripe.url(), "");
    let before = counts(&stripe).await;
    // One takes effect and is not heard of, which another attempt cures; one meets nobody, however often it is tried.
    stripe.hook("faults", json!({ "operation": "meters.create", "when": "after", "drop": true })).await;
    stripe.hook("faults", json!({ "operation": "prices.create", "drop": true, "times": 3 })).await;
    let broken = shop.tiers(&["apply", "--yes"]);
    assert_eq!(broken.code, Some(1), "{}", broken.stdout);
    let said = format!("3 of {TO_MAKE} are made; the same command goes on from there: price tollgate_");
    assert!(broken.stderr.contains(&said), "{}", broken.stderr);
    let rest = read(done(&shop.tiers(&["apply", "--yes", "--json"])));
    assert_eq!(rest["made"].as_array().map(Vec::len), Some(TO_MAKE - 3));
    assert_eq!(counts(&stripe).await, [before[0] + 2, before[1] + 3, before[2] + 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_stripe_has_stored_is_got_past_and_nothing_is_made_twice() {
    let stripe = Stripe::alone().await;
    let shop = Shop::of(&stripe.url(), "");
    let before = counts(&stripe).await;
    let fails = async |operation: &str, when: &str, times: usize| {
        let fault =
            json!({ "operation": operation, "when": when, "status": 500, "saved": true, "times": times });
        stripe.hook("faults", fault).await;
    };
    // Of each kind one is made in spite of it, and one is not.
    for operation in ["meters.create", "products.create", "prices.create"] {
        fails(operation, "after", 1).await;
        fails(operation, "before", 1).await;
    }
    done(&shop.tiers(&["apply", "--yes"]));
    let all = [before[0] + 2, before[1] + 3, before[2] + 9];
    assert_eq!(counts(&stripe).await, all);

    let shop = Shop::of(&stripe.url(), "[tiers.strict]\nprice = { monthly = \"7\" }");
    fails("prices.update", "after", 1).await;
    fails("prices.create", "after", 1).await;
    done(&shop.tiers(&["apply", "--yes", "--replace"]));
    assert_eq!(counts(&stripe).await, [all[0], all[1], all[2] + 1], "it had gone over to the new price");
    assert_eq!(price(&stripe, "tollgate_strict_monthly").await["unit_amount"], 700);

    let shop = Shop::of(&stripe.url(), "[tiers.strict]\nprice = { monthly = \"9\" }");
    fails("prices.create", "before", 2).await;
    let broken = shop.tiers(&["apply", "--yes", "--replace"]);
    assert!(
        broken.stderr.contains("0 of 1 are made; the same command goes on from there"),
        "{}",
        broken.stderr
    );
    done(&shop.tiers(&["apply", "--yes", "--replace"]));
    assert_eq!(counts(&stripe).await, [all[0], all[1], all[2] + 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_everything_once() {
    let stripe = Stripe::alone().await;
    let shop = Shop::of(&stripe.url(), "");
    let before = counts(&stripe).await;
    std::thread::scope(|scope| {
        let run = || scope.spawn(|| shop.tiers(&["apply", "--yes"]));
        let runs: Vec<_> = (0..3).map(|_| run()).collect();
        for run in runs {
            done(&run.join().expect("it ends"));
        }
    });
    assert_eq!(counts(&stripe).await, [before[0] + 2, before[1] + 3, before[2] + 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_change_is_said_and_the_rest_is_made() {
    let stripe = Stripe::alone().await;
    let meter =
        [("display_name", "x"), ("event_name", "tokens_used"), ("default_aggregation[formula]", "count")];
    stripe.post("/v1/billing/meters", &meter).await;
    let product = stripe.post("/v1/products", &[("name", "Team")]).await;
    let product = product["id"].as_str().expect("an id");
    let form = |key, cents, interval| {
        let product = ("product", product);
        [
            product,
            ("currency", "usd"),
            ("recurring[interval]", interval),
            ("unit_amount", cents),
            ("lookup_key", key),
        ]
    };
    let old = stripe.post("/v1/prices", &form("tollgate_team_monthly", "1900", "month")).await;
    stripe.post("/v1/prices", &form("tollgate_max_monthly", "9900", "month")).await;
    let shop = Shop::of(&stripe.url(), "");
    let applied = shop.tiers(&["apply", "--yes"]);
    assert_eq!(applied.code, Some(1), "something is left");
    for said in [
        "its aggregation is `count`, not `sum`",
        "it costs 19.00 usd, not 29.00 usd",
        "it needs its meter, which is to be changed by hand first",
        "Stripe sells it for 99.00 usd, every month, and the configuration says nothing of it",
    ] {
        assert!(applied.stdout.contains(said), "{said} in {}", applied.stdout);
    }
    assert_eq!(
        price(&stripe, "tollgate_team_yearly").await["product"],
        product,
        "beside the price that is there"
    );
    let rest = read(&shop.tiers(&["diff", "--json"]).stdout);
    assert_eq!((&rest["to_make"], &rest["by_hand"]), (&json!(0), &json!(5)), "{rest}");

    let replaced = shop.tiers(&["apply", "--yes", "--replace"]);
    assert!(replaced.stdout.contains("made 1/1: price tollgate_team_monthly price_"), "{}", replaced.stdout);
    let new = price(&stripe, "tollgate_team_monthly").await;
    assert_eq!((&new["unit_amount"], &new["active"]), (&json!(2_900), &json!(true)));
    let old = stripe.get(&format!("/v1/prices/{}", old["id"].as_str().expect("an id"))).await;
    assert_eq!(
        (&old["lookup_key"], &old["active"]),
        (&Value::Null, &json!(true)),
        "who pays it goes on paying it"
    );
    assert_eq!(old["metadata"]["tollgate_lookup_key"], "tollgate_team_monthly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_is_changed_back_within_a_day_is_made_anew() {
    let stripe = Stripe::alone().await;
    let cost = |monthly: &str| format!("[tiers.strict]\nprice = {{ monthly = \"{monthly}\" }}");
    let mut ids = Vec::new();
    for monthly in ["5", "7", "5", "7"] {
        done(&Shop::of(&stripe.url(), &cost(monthly)).tiers(&["apply", "--yes", "--replace"]));
        let now = price(&stripe, "tollgate_strict_monthly").await;
        assert_eq!(now["unit_amount_decimal"], format!("{monthly}00"));
        ids.push(now["id"].to_string());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each time another price");
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_away_is_one_sentence_and_no_half_of_a_plan() {
    let nobody = config::free_address();
    let shop = Shop::of(&format!("http://{nobody}"), "");
    for arguments in [&["diff"][..], &["apply", "--yes"]] {
        let ended = shop.tiers(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        assert!(
            ended.stderr.contains(&format!("Stripe (http://{nobody}) could not be asked")),
            "{}",
            ended.stderr
        );
    }
    let sandbox =
        "[stripe]\nmode = \"sandbox\"\nsandbox_listen = \"LISTEN\"".replace("LISTEN", &nobody.to_string());
    let mut written = config::parse(&std::fs::read_to_string(shop.path()).expect("a configuration"));
    let stripe = written["stripe"].as_table_mut().expect("a table");
    stripe.remove("api_base");
    config::merge(&mut written, config::parse(&sandbox));
    std::fs::write(shop.path(), written.to_string()).expect("a writable folder");
    let ended = shop.tiers(&["diff"]);
    assert!(ended.stderr.contains("it runs inside the gateway: start that first"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_stripe_could_not_tell_apart_are_a_mistake_in_the_file() {
    let shop = Shop::of("http://127.0.0.1:9", "[meters.bytes]\nstripe_event_name = \"tokens_used\"");
    let ended = shop.tiers(&["diff"]);
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains("both report to `tokens_used`"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_only_a_yes_makes_anything() {
    let stripe = Stripe::alone().await;
    let shop = Shop::of(&stripe.url(), "");
    let before = counts(&stripe).await;
    let answer = |answer: &str| {
        let command =
            format!("{} tiers apply --config {}", env!("CARGO_BIN_EXE_tollgate"), shop.path().display());
        let mut script = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux has script");
        let mut stdin = script.stdin.take().expect("a pipe");
        stdin.write_all(answer.as_bytes()).expect("it reads");
        let output = script.wait_with_output().expect("it ends");
        drop(stdin);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = answer("n\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("Make {TO_MAKE} at Stripe, test mode? [y/N]")), "{said}");
    assert!(said.contains("nothing was made"), "{said}");
    assert_eq!(counts(&stripe).await, before);
    let (code, said) = answer("y\n");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(counts(&stripe).await, [before[0] + 2, before[1] + 3, before[2] + 9]);
}
