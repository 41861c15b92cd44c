//! One run of the command line.

use std::path::Path;
use std::process::{Command, Output};

/// What a command ended with.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary in a folder, with these environment variables beside the usual ones, to its end.
pub fn tollgate(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .output()
        .expect("the binary starts");
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}
