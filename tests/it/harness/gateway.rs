//! The gateway's process: started, killed, started again, stopped.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{PATIENCE, Room, until};

/// The real binary, on one configuration for all of its lives.
pub struct Gateway {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub data_dir: PathBuf,
    pub config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// Those whose place others have taken, the latest last.
    replaced: Vec<Child>,
    /// Where it runs, if its file systems are its own.
    pub room: Option<Room>,
}

impl Gateway {
    /// Not running yet.
    pub fn new(public: SocketAddr, admin: SocketAddr, folder: &Path) -> Self {
        Self {
            public,
            admin,
            data_dir: folder.join("data"),
            config: folder.join("tollgate.toml"),
            log: folder.join("stderr.log"),
            child: None,
            replaced: Vec::new(),
            room: None,
        }
    }

    /// The running process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("a running gateway").id()
    }

    /// Starts the process, and returns once it is ready.
    pub async fn start(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// Returns once the process is ready.
    pub async fn ready(&mut self) {
        let http = reqwest::Client::new();
        let ready = format!("http://{}/readyz", self.admin);
        until("the gateway is ready", PATIENCE, async || {
            if let Some(status) = self.exited() {
                panic!("the gateway ended with {status} instead of starting:\n{}", self.log());
            }
            let answer = http.get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Starts the process, which must end without ever being ready; answers its exit code and last words.
    pub async fn start_in_vain(&mut self) -> (Option<i32>, String) {
        self.spawn();
        let http = reqwest::Client::new();
        let ready = format!("http://{}/readyz", self.admin);
        let status = until("the gateway ends", PATIENCE, async || {
            let answer = http.get(&ready).send().await;
            assert!(!answer.is_ok_and(|answer| answer.status().is_success()), "it started all the same");
            self.exited()
        })
        .await;
        self.child = None;
        (status.code(), self.log().lines().last().unwrap_or_default().to_owned())
    }

    /// Starts the process and does not wait for anything.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the gateway runs already");
        self.child = Some(self.new_process(&[]));
    }

    fn new_process(&self, more: &[&str]) -> Child {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log file");
        let binary = env!("CARGO_BIN_EXE_tollgate");
        self.room
            .as_ref()
            .map_or_else(|| Command::new(binary), |room| room.command(binary))
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .args(more)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts")
    }

    /// Starts another process, which takes the place of this one. Returns once it serves; the one before may still have
    /// requests under way.
    pub async fn upgrade(&mut self) {
        let served = self.serving();
        let new = self.new_process(&["--upgrade"]);
        self.replaced.extend(self.child.replace(new));
        until("the new process serves", PATIENCE, async || {
            if let Some(status) = self.exited() {
                panic!("the new process ended with {status} instead of starting:\n{}", self.log());
            }
            (self.serving() > served).then_some(())
        })
        .await;
    }

    /// Starts another process, which must fail to take the place of this one; answers its exit code and last words.
    pub async fn upgrade_in_vain(&self) -> (Option<i32>, String) {
        self.end_of(&["--upgrade"]).await
    }

    /// The same for one that takes nobody's place.
    pub async fn run_in_vain(&self) -> (Option<i32>, String) {
        self.end_of(&[]).await
    }

    /// With all that is logged meanwhile: by either process, in any order.
    async fn end_of(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let before = self.log().len();
        let mut new = self.new_process(arguments);
        let status =
            until("the new process ends", PATIENCE, async || new.try_wait().expect("a process of ours"));
        (status.await.code(), self.log()[before..].to_owned())
    }

    /// How often one has begun to serve.
    fn serving(&self) -> usize {
        self.log().matches("tollgate is serving").count()
    }

    /// `kill -9` for the process whose place this one has taken.
    pub fn kill9_replaced(&mut self) {
        let mut child = self.replaced.pop().expect("a process before");
        child.kill().expect("a process of ours");
        child.wait().expect("a process of ours");
    }

    /// Waits until all processes have ended whose place others have taken; they must end well.
    pub async fn replaced_ended(&mut self) {
        for mut child in std::mem::take(&mut self.replaced) {
            let status = until("the process before ends", PATIENCE, async || child.try_wait().expect("ours"));
            assert_eq!(status.await.code(), Some(0), "it did not end well:\n{}", self.log());
        }
    }

    /// `kill -9`, in the middle of whatever it does.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("a running gateway");
        child.kill().expect("a process of ours");
        child.wait().expect("a process of ours");
    }

    /// Starts it again after [`Self::kill9`] or [`Self::stop`], on the same ports and files.
    pub async fn restart(&mut self) {
        self.start().await;
    }

    /// Asks it to stop, as a supervisor does.
    pub fn terminate(&self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal was not sent");
    }

    /// Asks it to read its configuration again, and to open its log again, as a supervisor does.
    pub fn hang_up(&self) {
        let sent = Command::new("kill").arg("-HUP").arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal was not sent");
    }

    /// Asks it to stop, and expects it to end well.
    pub async fn stop(&mut self) {
        self.terminate();
        let code = self.ended().await;
        assert_eq!(code, Some(0), "the gateway did not end well:\n{}", self.log());
    }

    /// Waits for the process' end; answers its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let status = until("the gateway ends", PATIENCE, async || self.exited()).await;
        self.child = None;
        status.code()
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Everything that it has logged so far, over all of its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How the process ended, if it has.
    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("a process of ours")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for mut child in self.child.take().into_iter().chain(self.replaced.drain(..)) {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- the gateway's last lines");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
