//! What systemd is told, by the protocol of `sd_notify(3)`: datagrams to the socket that `NOTIFY_SOCKET` names. Without
//! one nobody is told anything.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;
use tokio::sync::watch;

static SUPERVISOR: LazyLock<Option<Supervisor>> = LazyLock::new(|| {
    let address = std::env::var("NOTIFY_SOCKET").ok()?;
    Supervisor::at(&address)
        .inspect_err(|error| tracing::warn!(%error, address, "the supervisor's socket cannot be used"))
        .ok()
});

struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Supervisor {
    /// A path, or behind an `@` a name outside of any file system.
    fn at(address: &str) -> std::io::Result<Self> {
        let address = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }
}

fn tell(state: &str) {
    let Some(Supervisor { socket, address }) = &*SUPERVISOR else { return };
    if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
        tracing::warn!(%error, state, "the supervisor could not be told");
    }
}

/// It serves; also after it has read its configuration again.
pub(super) fn ready() {
    tell(&format!("READY=1\nMAINPID={}", std::process::id()));
}

/// It reads its configuration again, until it is [`ready`].
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000);
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

pub(super) fn stopping() {
    tell("STOPPING=1");
}

/// Says that it lives, twice as often as it must, for as long as those who serve requests do something when they are
/// asked.
pub(super) async fn keep_watchdog_quiet(serving: Handle, mut stopping: watch::Receiver<bool>) {
    let Some(within) = watchdog() else { return };
    loop {
        let alive = serving.spawn(async {}).await;
        if alive.is_ok() {
            tell("WATCHDOG=1");
        }
        // An error means that the server is gone.
        if tokio::time::timeout(within / 2, stopping.wait_for(|stops| *stops)).await.is_ok() {
            return;
        }
    }
}

/// How often it must say so; none where nobody listens, or to another process.
fn watchdog() -> Option<Duration> {
    SUPERVISOR.as_ref()?;
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0).map(Duration::from_micros)
}
