//! nginx as it is installed on the machine: a server that is not ours.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::authority::Pair;
use super::{PATIENCE, free_address, until};

/// One server, until it is dropped.
pub struct Nginx {
    pub address: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Nginx {
    /// Serves files, see [`Self::put`]; `directives` stand in its `server` block.
    pub async fn start(directives: &str) -> Self {
        let address = free_address();
        Self::listen(address, &format!("listen {address};\n{directives}"), None).await
    }

    /// The same with TLS.
    pub async fn start_with_tls(pair: &Pair, directives: &str) -> Self {
        let address = free_address();
        let tls = "ssl_certificate cert.pem; ssl_certificate_key key.pem;";
        Self::listen(address, &format!("listen {address} ssl;\n{tls}\n{directives}"), Some(pair)).await
    }

    /// HTTP/2, over TLS where there is a certificate.
    pub async fn start_with_h2(pair: Option<&Pair>, directives: &str) -> Self {
        let address = free_address();
        let listen = match pair {
            Some(_) => "ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem;",
            None => "http2;",
        };
        Self::listen(address, &format!("listen {address} {listen}\n{directives}"), pair).await
    }

    /// What it has been asked, a line each.
    pub fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("access.log"));
        log.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    async fn listen(address: SocketAddr, server: &str, pair: Option<&Pair>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("files")).expect("a writable folder");
        if let Some(Pair { certificate, key }) = pair {
            write(folder.path(), "cert.pem", certificate.as_bytes());
            write(folder.path(), "key.pem", key.as_bytes());
        }
        write(folder.path(), "nginx.conf", config(server).as_bytes());
        let process = spawn(folder.path(), address).await;
        Self { address, process, folder }
    }

    /// Ends it at once, with all of its connections.
    pub fn stop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again where it was.
    pub async fn start_again(&mut self) {
        self.process = spawn(self.folder.path(), self.address).await;
    }

    /// What is answered at a path.
    pub fn put(&self, path: &str, content: &[u8]) {
        write(&self.folder.path().join("files"), path.trim_start_matches('/'), content);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn spawn(folder: &Path, address: SocketAddr) -> Child {
    let process = Command::new("nginx")
        .args(["-c", "nginx.conf", "-e", "error.log", "-p"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx is installed");
    let listens = async || TcpStream::connect(address).ok().map(drop);
    until("nginx listens", PATIENCE, listens).await;
    process
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    fs::write(folder.join(name), content).expect("a writable folder");
}

/// One process, so that it ends as a whole; nothing outside its folder.
fn config(server: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: Vec<_> = temporary.iter().map(|kind| format!("{kind}_temp_path {kind};")).collect();
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log;\n\
         events {{}}\n\
         http {{ access_log access.log; {}\nserver {{ root files;\n{server}\n}} }}\n",
        temporary.join(" ")
    )
}
