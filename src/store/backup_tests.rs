//! A copy of the store beside a longer ledger, and one of other versions.

use super::super::{MIGRATIONS, Store, tests::NOW};
use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn whoever_was_numbered_after_the_copy_is_in_it_all_the_same() {
    let (data_dir, to) = (folder(), folder());
    let store = Store::open(data_dir.path()).expect("opens");
    store.ledger_id([1; 16]).expect("an id");
    let before = store.customer("before".into(), None, NOW).await.expect("registers").number;
    let copy = to.path().join("tollgate.db");
    back_up(data_dir.path(), &copy, NOW).expect("copies");
    let since = store.customer("since".into(), Some("cus_1".into()), NOW).await.expect("registers").number;
    let member = store.number_member(before, "somebody".into()).await.expect("registers");
    store.customer("before".into(), Some("cus_2".into()), NOW).await.expect("links");
    add_numbered_since(data_dir.path(), &copy).expect("adds");
    add_numbered_since(data_dir.path(), &copy).expect("adds nothing");

    adopt(to.path(), [2; 16]).expect("adopts");
    let copy = Store::open(to.path()).expect("opens");
    let found = copy.find_customer("since".into()).await.expect("reads").expect("is there");
    assert_eq!((found.number, found.stripe_customer.as_deref()), (since, Some("cus_1")));
    let found = copy.find_customer("before".into()).await.expect("reads").expect("is there");
    assert_eq!((found.number, found.stripe_customer), (before, None), "as it was");
    assert_eq!(copy.member_names(vec![member]).await.expect("reads"), [(member, "somebody".to_owned())]);
}

/// A backup that a program with so many of these migrations has made.
fn made_by(version: usize) -> tempfile::TempDir {
    let folder = folder();
    let db = Connection::open(folder.path().join("tollgate.db")).expect("opens");
    for migration in MIGRATIONS.iter().take(version) {
        db.execute_batch(migration).expect("migrates");
    }
    let mark = Backup { made_at: NOW, version: "0".into(), ledger: [1; 16], folded: (0, 0, 0) };
    let mark = serde_json::to_vec(&mark).expect("words");
    db.execute_batch(&format!("PRAGMA user_version = {version}")).expect("a version");
    db.execute("INSERT INTO meta VALUES ('backup', ?1), ('ledger_id', ?2)", params![mark, [1_u8; 16]])
        .expect("a mark");
    folder
}

#[test]
fn a_backup_of_an_older_version_is_known_as_one_and_migrated_when_it_is_restored() {
    let old = made_by(MIGRATIONS.len() - 1);
    assert_eq!(Backup::of(old.path()).expect("is one").made_at, NOW);
    adopt(old.path(), [2; 16]).expect("adopts");
    let store = Store::open(old.path()).expect("migrates");
    assert_eq!(store.ledger_id([3; 16]).expect("reads"), [2; 16]);
}

#[test]
fn a_backup_of_a_newer_version_is_known_as_one_and_not_restored() {
    let new = made_by(MIGRATIONS.len() + 1);
    assert_eq!(Backup::of(new.path()).expect("is one").made_at, NOW);
    assert!(matches!(adopt(new.path(), [2; 16]), Err(StoreError::Newer(_))));
}

#[test]
fn what_is_no_store_is_no_backup() {
    let empty = folder();
    std::fs::write(empty.path().join("tollgate.db"), b"").expect("writes");
    assert!(matches!(Backup::of(empty.path()), Err(StoreError::IsNoBackup(_))));
}
