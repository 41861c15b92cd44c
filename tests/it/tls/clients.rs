//! Certificates of clients: who is let in, and who pays.

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{HOST, Secure};
use crate::harness::{Authority, Pair, TlsClient, pem};

const NAMES: &str = "[auth.client_certificate]\ncustomer = \"subject_cn\"";

/// A world that asks clients for certificates of an authority.
async fn asking(how: &str) -> (Secure, Authority) {
    let theirs = Authority::new("theirs");
    let tls = format!("client_auth = \"{how}\", client_ca = {}", pem(&theirs.pem()));
    (Secure::start_with(Authority::new("ours"), &tls, NAMES).await, theirs)
}

/// Sends a request for nobody and reads whatever comes: with TLS 1.3 a client hears of a refused certificate only then.
async fn ask(secure: &Secure, client: &TlsClient, head: &str) -> Option<String> {
    let mut stream = client.connect(secure.https, HOST).await.ok()?;
    stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

const SIGNALS: &str = "GET /signals HTTP/1.1\r\nhost: api.test";

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_certificates_of_the_authority_that_hold_now_are_let_in() {
    let (secure, theirs) = asking("required").await;
    let expired = theirs.sign_with(&["acme"], |params| {
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let foreign = Authority::new("theirs").sign(&["acme"]);
    for client in [secure.client(), secure.client().only_tls12()] {
        assert_eq!(ask(&secure, &client, SIGNALS).await, None, "without a certificate");
        for (refused, why) in [(&expired, "expired"), (&foreign, "of another authority")] {
            assert_eq!(ask(&secure, &client.clone().showing(refused), SIGNALS).await, None, "{why}");
        }
    }
    assert_eq!(secure.world.upstream.hits("/signals"), 0);
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_who_pays_unless_a_token_does() {
    let (secure, theirs) = asking("required").await;
    let client = secure.client().showing(&theirs.sign(&["acme"]));
    let other = secure.world.customer("other");
    let mut wire = secure.world.wire_over(secure.connect(&client).await);
    wire.send(&format!("{SIGNALS}\r\n\r\n")).await;
    let reply = wire.read("GET").await.expect("an answer");
    assert_eq!((reply.status, reply.charged()), (200, 1));
    assert_eq!(reply.json()["headers"]["x-tollgate-customer"][0], "acme");
    // Another host on the same connection changes nothing, nor does what pretends to be a name.
    wire.send("GET /signals HTTP/1.1\r\nhost: other.test\r\nx-tollgate-customer: other\r\n\r\n").await;
    let reply = wire.read("GET").await.expect("an answer");
    assert_eq!(reply.json()["headers"]["x-tollgate-customer"][0], "acme");
    assert_eq!(wire.ask(&other, "GET /signals HTTP/1.1").await.charged(), 1);
    // A token that is not good is no certificate.
    wire.send(&format!("{SIGNALS}\r\nauthorization: Bearer x\r\n\r\n")).await;
    assert_eq!(wire.read("GET").await.expect("an answer").refusal(), (401, "token_invalid".to_owned()));
    wire.send("GET /billing/status HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let status = wire.read("GET").await.expect("an answer").json();
    assert_eq!((&status["customer"], &status["usage"]["api_calls"]["current"]), (&"acme".into(), &2.into()));
    assert_eq!(other.used().await, 1);
    secure.world.told("acme", 2);
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_optional_where_it_says_so_and_may_name_nobody() {
    let (secure, theirs) = asking("optional").await;
    let answer = ask(&secure, &secure.client(), SIGNALS).await.expect("it is let in");
    assert_eq!(status(&answer), "401");
    let nameless = |change: fn(&mut rcgen::DistinguishedName)| -> Pair {
        theirs.sign_with(&["a.test"], |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            change(&mut params.distinguished_name);
        })
    };
    for pair in [
        nameless(|_| {}),
        nameless(|name| name.push(rcgen::DnType::CommonName, "two words")),
        nameless(|name| name.push(rcgen::DnType::CommonName, "")),
    ] {
        let answer = ask(&secure, &secure.client().showing(&pair), SIGNALS).await.expect("it is let in");
        assert_eq!(status(&answer), "401", "{answer}");
    }
    let foreign = Authority::new("theirs").sign(&["acme"]);
    assert_eq!(ask(&secure, &secure.client().showing(&foreign), SIGNALS).await, None, "none of theirs");
    // Where nothing is encrypted nobody shows a certificate.
    let plain = secure.world.ask(Method::GET, "/signals", |request| request).await;
    assert_eq!(plain.refusal(), (401, "token_missing".to_owned()));
    secure.world.finish().await;
}
