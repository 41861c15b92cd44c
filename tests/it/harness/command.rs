//! One run of the command line.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use super::PATIENCE;

/// What a command ended with.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary in a folder, with these environment variables beside the usual ones, to its end; fails the
/// test when there is none in time.
pub fn tollgate(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let id = child.id().to_string();
    let (ended, end) = mpsc::channel();
    let reader = thread::spawn(move || ended.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(PATIENCE) else {
        // It fails if the process ended just now.
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        let _ = reader.join();
        panic!("{arguments:?} did not end within {PATIENCE:?}");
    };
    let Output { status, stdout, stderr } = output.expect("the output can be read");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}
