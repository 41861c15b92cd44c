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
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log file");
        let binary = env!("CARGO_BIN_EXE_tollgate");
        let child = self
            .room
            .as_ref()
            .map_or_else(|| Command::new(binary), |room| room.command(binary))
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
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
        if let Some(mut child) = self.child.take() {
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
