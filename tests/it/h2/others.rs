//! Clients of HTTP/2 that are not ours: nghttp2's own.

use std::process::Command;

use super::Multiplexed;
use crate::tls::Secure;

fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output().expect("nghttp2-client is installed");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_streams_is_answered_and_charged_to_the_last() {
    let secure = Secure::start().await;
    let (customer, _) = secure.world.subscriber("loaded", "pro").await;
    let authorization = format!("authorization: Bearer {}", customer.token);
    let url = format!("https://{}/signals", secure.https);
    let mut charged = 0;
    for (protocol, streams) in [("--npn-list=h2", "50"), ("--h1", "1")] {
        let arguments = ["-n", "2000", "-c", "10", "-m", streams, protocol, "-H", &authorization, &url];
        let told = run("h2load", &arguments);
        assert!(told.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{protocol}: {told}");
        assert!(told.contains("status codes: 2000 2xx"), "{protocol}: {told}");
        charged += 2_000;
        secure.world.told("loaded", 2_000);
        assert_eq!(customer.used().await, charged);
    }
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nghttp_is_answered_without_tls_and_uploads() {
    let many = Multiplexed::start("").await;
    let customer = many.world.customer("nghttp");
    let authorization = format!("authorization: Bearer {}", customer.token);
    let body = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(body.path(), vec![b'x'; 60_000]).expect("a file");
    let url = format!("http://{}/signals", many.h2c);
    let upload = format!("--data={}", body.path().display());
    for arguments in [&["-H", &authorization, &url][..], &["-H", &authorization, &upload, &url]] {
        let answer = run("nghttp", arguments);
        let bytes = if arguments.len() > 3 { 60_000 } else { 0 };
        assert!(answer.contains(&format!("\"body_bytes\":{bytes},")), "{answer}");
        many.world.told("nghttp", 1);
    }
    assert_eq!(customer.used().await, 2);
    many.world.finish().await;
}
