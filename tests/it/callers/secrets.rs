//! A key is shown once, and is nowhere afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::json;

use super::{KEYS, Made, make};
use crate::harness::World;

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(path: &Path, text: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

/// The part of a key that nobody may see.
fn secret(made: &Made) -> &str {
    made.key.rsplit('_').next().expect("a secret")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_in_any_file_log_or_answer() {
    let config = format!("{KEYS}\n[log]\nlevel = \"trace\"");
    let mut world = World::builder().config(&config).start().await;
    let made = make(&world, &json!({ "customer": "acme", "name": "of a test" })).await;
    let rotated = world.operate(&format!("/admin/keys/{}/rotate", made.id), &json!({})).await.json();
    let second = Made::read(&rotated);
    for key in [&made, &second] {
        assert_eq!(key.caller(&world, "acme").get("/signals").await.charged(), 1);
        let own = world.ask(Method::GET, "/free", |request| request.header("x-api-key", &key.key)).await;
        assert!(own.status == 200 && !own.text().contains(secret(key)), "servers see it");
    }
    let mut bad = made.key.clone();
    bad.push('x');
    let refused = world.ask(Method::GET, "/free", |request| request.header("x-api-key", &bad)).await;
    assert!(refused.status == 401 && !refused.text().contains(secret(&made)));
    let mut shown = String::new();
    for path in
        ["/admin/keys", "/admin/audit", "/admin/customers/acme", "/admin/customers/acme/export", "/metrics"]
    {
        shown += &world.admin(Method::GET, path, Some(crate::harness::ADMIN_TOKEN)).await.text();
    }
    assert!(shown.contains(&made.id), "its id is no secret");
    world.store().execute("VACUUM INTO ?1", [backup(&world)]).expect("a backup");
    world.gateway.stop().await;
    let folder = world.gateway.config.parent().expect("a folder").to_owned();
    let files = files(&folder);
    assert!(files.len() > 5 && files.iter().any(|file| holds(file, &made.id)), "{files:?}");
    for key in [&made, &second] {
        assert!(!shown.contains(secret(key)));
        let found: Vec<_> = files.iter().filter(|file| holds(file, secret(key))).collect();
        assert_eq!(found, Vec::<&PathBuf>::new());
    }
    world.finish().await;
}

fn backup(world: &World) -> String {
    world.gateway.data_dir.join("backup.db").display().to_string()
}
