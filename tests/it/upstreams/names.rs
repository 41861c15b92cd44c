//! Servers by their names, whose addresses change.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::harness::{PATIENCE, Room, Sizes, Upstream, World, until};

use super::{get, hits};

/// Two servers on one port of different addresses.
async fn two_servers() -> [Upstream; 2] {
    let first = Upstream::start_at(SocketAddr::from(([127, 0, 0, 2], 0))).await;
    let second = Upstream::start_at(SocketAddr::from(([127, 0, 0, 3], first.address.port()))).await;
    [first, second]
}

/// The names that processes in a room know.
struct Hosts<'a> {
    file: &'a Path,
}

impl<'a> Hosts<'a> {
    fn put(room: &Room, file: &'a Path) -> Self {
        fs::write(file, "127.0.0.1 localhost\n").expect("written");
        let mounted = room.command("mount").arg("--bind").arg(file).arg("/etc/hosts").status();
        assert!(mounted.expect("mount is installed").success());
        Self { file }
    }

    fn say(&self, servers: &[&Upstream]) {
        let lines = servers.iter().map(|server| format!("{} api.test.internal\n", server.address.ip()));
        fs::write(self.file, lines.collect::<String>()).expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_comes_to_have_other_addresses_leads_there_within_its_interval() {
    if !Room::is_allowed() {
        return;
    }
    let [first, second] = two_servers().await;
    let config = format!(
        "[upstreams.api]\nservers = [\"api.test.internal:{}\"]\nresolve = \"lazy\"\nresolve_interval = \"1s\"",
        first.address.port()
    );
    let world = World::builder().in_room(Sizes::Together { mebibytes: 64 }).config(&config).start().await;
    let customer = world.customer("acme");
    let reply = get(&customer, "/free", true).await;
    assert_eq!((reply.status, reply.code().as_str()), (502, "upstream_failed"), "nobody knows the name");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hosts");
    let hosts = Hosts::put(world.gateway.room.as_ref().expect("a room"), &file);
    hosts.say(&[&first]);
    let up = async |servers: u64| {
        until(&format!("{servers} servers are known"), PATIENCE, async || {
            let up = world.metric("tollgate_upstream_up{upstream=\"api\"}").await;
            (up == Some(servers)).then_some(())
        })
        .await;
    };
    up(1).await;
    assert_eq!(get(&customer, "/signals", true).await.status, 200);
    assert_eq!(get(&customer, "/signals", false).await.status, 200);
    assert_eq!(hits(&[&first, &second], "/signals"), [2, 0]);
    hosts.say(&[&first, &second]);
    up(2).await;
    for _ in 0..4 {
        assert_eq!(get(&customer, "/signals", true).await.status, 200);
    }
    assert_eq!(hits(&[&first, &second], "/signals"), [4, 2]);
    hosts.say(&[&second]);
    up(1).await;
    for plain in [true, false] {
        assert_eq!(get(&customer, "/signals", plain).await.status, 200);
    }
    assert_eq!(hits(&[&first, &second], "/signals"), [4, 4]);
    // A name that nobody knows any more keeps the addresses that it had.
    let in_vain = || world.gateway.log().matches("not resolved again").count();
    let before = in_vain();
    hosts.say(&[]);
    until("it is asked for in vain", PATIENCE, async || (in_vain() > before).then_some(())).await;
    assert_eq!(get(&customer, "/signals", true).await.status, 200);
    world.finish().await;
}
