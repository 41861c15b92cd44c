//! `deploy/fleet`: Redis starts with what is shipped for it, and its user may do all that a gateway does, and no more.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redis::{ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult, Value};
use tempfile::TempDir;
use tollgate::fleet::{Address, Fleet, Layout};

use super::layouts::do_everything;
use super::node::options;
use crate::harness::{PATIENCE, free_address, until};

const USER: &str = "tollgate";
const PASSWORD: &str = "only-for-trials";

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fleet").join(file)
}

/// A server with the shipped files.
struct Shipped {
    process: Child,
    at: SocketAddr,
    _folder: TempDir,
}

impl Shipped {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = free_address();
        let mut command = Command::new("redis-server");
        command.arg(shipped("redis.conf")).arg("--aclfile").arg(shipped("users.acl"));
        command.args(["--bind", "127.0.0.1", "--port", &at.port().to_string()]);
        command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("redis-server is installed: apt-get install redis-server");
        until("Redis listens", PATIENCE, async || TcpStream::connect(at).ok().map(drop)).await;
        Self { process, at, _folder: folder }
    }

    fn address(&self, password: &str) -> Address {
        Address {
            layout: Layout::Single,
            tls: false,
            servers: vec![(self.at.ip().to_string(), self.at.port())],
            user: Some(USER.to_owned()),
            password: Some(password.to_owned()),
            database: 0,
            authorities: None,
        }
    }

    /// As the gateways' user, or as nobody.
    async fn ask(&self, user: Option<&str>, words: &[&str]) -> RedisResult<Value> {
        let mut info: ConnectionInfo = format!("redis://{}", self.at).into_connection_info()?;
        if let Some(user) = user {
            let who = RedisConnectionInfo::default().set_username(user).set_password(PASSWORD);
            info = info.set_redis_settings(who);
        }
        let mut connection = redis::Client::open(info)?.get_multiplexed_async_connection().await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }
}

impl Drop for Shipped {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn the_shipped_user_may_do_what_a_gateway_does_and_no_more() {
    let redis = Shipped::start().await;
    do_everything(redis.address(PASSWORD)).await;
    let wrong = Fleet::new(&options(redis.address("wrong"), "two")).expect("an address");
    assert!(wrong.join().await.is_err());
    for words in [
        &["SET", "other", "1"][..],
        &["EVAL", "return redis.call('SET', 'other', '1')", "1", "other"],
        &["EVAL", "return redis.call('FLUSHALL')", "0"],
        &["PUBLISH", "other", "1"],
        &["FLUSHALL"],
        &["KEYS", "*"],
        &["CONFIG", "GET", "*"],
        &["ACL", "LIST"],
        &["SHUTDOWN"],
    ] {
        let refused = redis.ask(Some(USER), words).await.expect_err("it is not needed");
        let says = refused.to_string();
        assert!(says.contains("permission") || says.contains("can't run this command"), "{words:?}: {says}");
    }
    assert!(redis.ask(None, &["PING"]).await.is_err(), "who has no password is nobody");
}

/// The commands that stand behind `opening` in the files of a folder, in small letters.
fn named_behind(opening: &str, folder: &str, ending: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut named = BTreeSet::new();
    for file in fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        // What tests ask for is asked by nobody else.
        let is_test = path.to_string_lossy().ends_with("_tests.rs");
        if !is_test && path.extension().is_some_and(|extension| extension == ending) {
            let text = fs::read_to_string(&path).expect("a text");
            named.extend(text.split(opening).skip(1).map(command));
        }
    }
    named.remove("");
    named
}

/// As rights name it: with its part, where it has parts of their own.
fn command(call: &str) -> String {
    let word = |rest: &str| rest.chars().take_while(char::is_ascii_alphabetic).collect::<String>();
    let name = word(call).to_lowercase();
    let part = call.strip_prefix("CLUSTER\").arg(\"").map(word);
    part.map_or(name.clone(), |part| format!("{name}|{}", part.to_lowercase()))
}

#[test]
fn each_command_that_is_used_is_allowed() {
    let rights = fs::read_to_string(shipped("users.acl")).expect("a text");
    let allowed: BTreeSet<_> = rights.split_whitespace().filter_map(|word| word.strip_prefix('+')).collect();
    let mut in_scripts = named_behind("redis.call('", "src/fleet/scripts", "lua");
    in_scripts.extend(named_behind("redis.pcall('", "src/fleet/scripts", "lua"));
    let sent = named_behind("redis::cmd(\"", "src/fleet", "rs");
    assert!(in_scripts.contains("hincrby") && sent.contains("publish"), "{in_scripts:?} {sent:?}");
    let refused: Vec<_> = in_scripts.union(&sent).filter(|name| !allowed.contains(name.as_str())).collect();
    assert!(refused.is_empty(), "users.acl refuses {refused:?}");
}
