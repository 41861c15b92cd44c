//! Every act of an operator leaves a row: who, when, why, before and after.

use http::Method;
use serde_json::{Value, json};

use super::{delete, each, rows};
use crate::harness::{ADMIN_TOKEN, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_act_of_an_operator_leaves_a_row_that_says_why() {
    let world = World::start().await;
    let (acme, other) = (world.customer("acme"), world.customer("other"));
    assert_eq!((acme.get("/signals").await.status, other.get("/signals").await.status), (200, 200));
    let of_acme = "/admin/customers/acme";
    for (method, path, body) in [
        ("block", "block", json!({ "reason": "fraud" })),
        ("again", "block", json!({ "reason": "again" })),
        ("unblock", "unblock", json!({ "reason": "it was none" })),
        ("clear", "cache/clear", json!({})),
    ] {
        let reply = world.operate(&format!("{of_acme}/{path}"), &body).await;
        assert_eq!(reply.status, 200, "{method}");
    }
    let wanted = json!({ "tier": "pro", "until": "2099-01-01", "reason": "a friend" });
    assert_eq!(world.put(&format!("{of_acme}/override"), &wanted).await.status, 200);
    for _ in 0..2 {
        assert_eq!(delete(&world, &format!("{of_acme}/override")).await.status, 200);
    }
    assert_eq!(world.shown(&format!("{of_acme}/export")).await["customer"][0]["name"], "acme");
    assert_eq!(world.operate("/admin/customers/other/block", &json!({})).await.status, 200);

    let list = world.shown("/admin/audit?customer=acme").await;
    let mut acts = each(&list, "action");
    acts.reverse();
    assert_eq!(
        acts,
        [
            "customer_blocked",
            "customer_unblocked",
            "cache_cleared",
            "override_set",
            "state_changed",
            "override_removed",
            "state_changed",
            "customer_exported",
        ],
        "what changed nothing leaves none"
    );
    let act = |action: &str| rows(&list).iter().find(|row| row["action"] == action).expect("a row").clone();
    let blocked = act("customer_blocked");
    assert_eq!(
        (&blocked["customer"], &blocked["actor"], &blocked["detail"]),
        (&json!("acme"), &json!("operator"), &json!("fraud"))
    );
    let set = act("override_set");
    assert_eq!((&set["detail"], &set["before"]), (&json!("a friend"), &Value::Null));
    assert_eq!(set["after"], "pro, included {}, until 2099-01-01T00:00:00Z");
    assert_eq!(act("override_removed")["before"], set["after"]);

    let all = world.shown("/admin/audit?limit=1000").await;
    assert!(rows(&all).len() > rows(&list).len() && rows(&all)[0]["customer"] == "other");
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.shown(&format!("/admin/audit?limit=3{cursor}")).await;
        paged.extend(rows(&page).clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(&paged, rows(&all));
    for wrong in ["limit=0", "limit=x", "cursor=x", "custommer=acme"] {
        let path = format!("/admin/audit?{wrong}");
        let reply = world.admin(Method::GET, &path, Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wrong}");
    }
    let unknown = world.admin(Method::GET, "/admin/audit?customer=nobody", Some(ADMIN_TOKEN)).await;
    assert_eq!(unknown.refusal(), (404, "not_found".to_owned()));
    world.finish().await;
}
