//! What a supervisor that speaks `sd_notify(3)` is told, and what health checks ask.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use super::command;
use crate::harness::{PATIENCE, World, tollgate};

/// A supervisor's socket.
struct Supervisor(UnixDatagram);

impl Supervisor {
    /// Waits for a message that begins so; others before it may only say that the gateway lives.
    fn hears(&self, begins: &str) -> String {
        loop {
            let mut bytes = [0; 512];
            let length = self.0.recv(&mut bytes).expect("a message in time");
            let said = String::from_utf8(bytes[..length].to_vec()).expect("text");
            if said.starts_with(begins) {
                return said;
            }
            assert_eq!(said, "WATCHDOG=1", "instead of {begins}");
        }
    }
}

/// The gateway under a supervisor that wants to hear of it.
fn supervised(world: &World, watchdog_pid: Option<&str>) -> (Child, Supervisor) {
    let path = world.gateway.config.with_file_name(format!("notify-{}", watchdog_pid.unwrap_or("any")));
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut run = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    run.arg("run").arg("--config").arg(&world.gateway.config);
    run.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    run.envs(watchdog_pid.map(|id| ("WATCHDOG_PID", id)));
    run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    (run.spawn().expect("the binary starts"), Supervisor(socket))
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(name).arg(child.id().to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal was not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_hears_that_it_serves_lives_reloads_and_stops() {
    let mut world = World::start().await;
    world.gateway.stop().await;
    let (mut child, supervisor) = supervised(&world, None);
    assert_eq!(supervisor.hears("READY=1"), format!("READY=1\nMAINPID={}", child.id()));
    let ready = command(&world, &["health"]);
    assert_eq!((ready.code, &*ready.stdout), (Some(0), "ready\n"), "{}", ready.stderr);
    for _ in 0..3 {
        supervisor.hears("WATCHDOG=1");
    }
    signal(&child, "-HUP");
    let reloading = supervisor.hears("RELOADING=1");
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("when it began");
    assert!(micros.parse::<u64>().expect("microseconds") > 0);
    supervisor.hears("READY=1");
    signal(&child, "-TERM");
    supervisor.hears("STOPPING=1");
    assert!(child.wait().expect("a process of ours").success());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_that_waits_for_another_process_is_told_nothing() {
    let mut world = World::start().await;
    world.gateway.stop().await;
    let (mut child, supervisor) = supervised(&world, Some("1"));
    supervisor.hears("READY=1");
    signal(&child, "-TERM");
    let mut bytes = [0; 64];
    let length = supervisor.0.recv(&mut bytes).expect("a message in time");
    assert_eq!(&bytes[..length], b"STOPPING=1");
    assert!(child.wait().expect("a process of ours").success());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_of_a_gateway_that_is_not_there_that_it_is_not() {
    let mut world = World::start().await;
    let admin = world.gateway.admin.to_string();
    let folder = world.gateway.config.parent().expect("a folder").to_owned();
    let alive = tollgate(&folder, &["health", "--address", &admin, "--alive"], &[]);
    assert_eq!(alive.code, Some(0), "{}", alive.stderr);
    world.gateway.stop().await;
    let gone = tollgate(&folder, &["health", "--address", &admin], &[]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("no gateway answers at"), "{}", gone.stderr);
    world.finish().await;
}
