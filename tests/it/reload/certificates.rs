//! Certificates that are replaced while connections speak.

use std::fs;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::rejected;
use crate::harness::{Authority, PATIENCE, Pair, TlsClient, Wire, World, pem, until};
use crate::tls::{HOST, Secure, in_toml};

/// A certificate and its key in files.
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    _folder: TempDir,
}

impl Files {
    pub fn new(pair: &Pair) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let files = Self { certificate, key, _folder: folder };
        files.put(pair);
        files
    }

    pub fn put(&self, pair: &Pair) {
        fs::write(&self.certificate, &pair.certificate).expect("a writable folder");
        fs::write(&self.key, &pair.key).expect("a writable folder");
    }

    pub fn in_toml(&self) -> String {
        format!("certificate = \"{}\", private_key = \"{}\"", self.certificate.display(), self.key.display())
    }
}

/// Of the usual host; the common name says which one it is.
fn named(authority: &Authority, name: &str) -> Pair {
    authority.sign(&[name, HOST])
}

/// The common name of the certificate that a connection was opened with.
fn shown(stream: &TlsStream<TcpStream>) -> String {
    let certificates = stream.get_ref().1.peer_certificates().expect("a certificate");
    tollgate::tls::common_name(&certificates[0]).expect("a common name")
}

async fn shown_now(secure: &Secure) -> String {
    shown(&secure.connect(&secure.client()).await)
}

/// Puts other keys of `server.tls` in force.
async fn with_tls(world: &World, tls: &str) {
    let mut file = world.configuration();
    file["server"].as_table_mut().expect("a table").remove("tls");
    world.configure_from(file, &format!("[server]\ntls = {{ {tls} }}"));
    world.reloaded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_on_while_certificates_are_swapped_and_new_ones_see_the_new_one() {
    let authority = Authority::new("ours");
    let files = Files::new(&named(&authority, "c0"));
    let secure = Secure::start_as(authority, &files.in_toml(), "").await;
    let customer = secure.world.customer("acme");
    let mut open: Vec<Wire<_>> = Vec::new();
    let http2 = secure.connect(&secure.client().offering(&["h2"])).await;
    let http2 = secure.world.http2_over(http2).await;
    for swap in 1..=20 {
        open.push(secure.world.wire_over(secure.connect(&secure.client()).await));
        files.put(&named(&secure.authority, &format!("c{swap}")));
        secure.world.reloaded().await;
        assert_eq!(shown_now(&secure).await, format!("c{swap}"));
        for wire in &mut open {
            assert_eq!(wire.ask(&customer, "GET /free HTTP/1.1").await.status, 200, "swap {swap}");
        }
        assert_eq!(http2.get(&customer, "/signals").await.charged(), 1, "swap {swap}");
    }
    let ends = |name: &str| format!("tollgate_certificate_expires_seconds{{name=\"{name}\"}}");
    assert!(secure.world.metric(&ends("c20")).await.is_some());
    assert_eq!(secure.world.metric(&ends("c19")).await, None, "it is shown to nobody");
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_hold_is_refused_and_the_old_one_is_shown() {
    let authority = Authority::new("ours");
    let files = Files::new(&named(&authority, "good"));
    let secure = Secure::start_as(authority, &files.in_toml(), "").await;
    let [good, other] = ["good", "other"].map(|name| named(&secure.authority, name));
    let key_of_other = Pair { certificate: good.certificate.clone(), key: other.key };
    let garbage = Pair { certificate: "no certificate".to_owned(), key: good.key.clone() };
    for (at, (bad, said)) in
        [(key_of_other, "server.tls.private_key: "), (garbage, "server.tls.certificate: ")].iter().enumerate()
    {
        files.put(bad);
        let reply = secure.world.reload().await;
        assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()));
        assert!(reply.text().contains(said), "{}", reply.text());
        assert!(!reply.text().contains("PRIVATE KEY"), "a key is no text to show");
        assert_eq!(
            (shown_now(&secure).await, rejected(&secure.world).await),
            ("good".to_owned(), at as u64 + 1)
        );
    }
    fs::remove_file(&files.key).expect("it is there");
    assert_eq!(secure.world.reload().await.status, 422);
    assert_eq!(shown_now(&secure).await, "good");
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_seen_by_itself_once_both_of_its_files_are_there() {
    let authority = Authority::new("ours");
    let files = Files::new(&named(&authority, "old"));
    let secure = Secure::start_as(authority, &files.in_toml(), "[server]\nwatch = \"20ms\"").await;
    let renewed = named(&secure.authority, "renewed");
    fs::write(&files.certificate, &renewed.certificate).expect("a writable folder");
    until("half of it is refused", PATIENCE, async || (rejected(&secure.world).await > 0).then_some(()))
        .await;
    assert_eq!(shown_now(&secure).await, "old");
    fs::write(&files.key, &renewed.key).expect("a writable folder");
    until("the renewed one is shown", PATIENCE, async || {
        (shown_now(&secure).await == "renewed").then_some(())
    })
    .await;
    secure.world.finish().await;
}

/// Whether a client is served on a new connection. With TLS 1.3 it hears only then that it was refused.
async fn is_served(secure: &Secure, client: &TlsClient) -> bool {
    let answered = async {
        let stream = client.connect(secure.https, HOST).await?;
        let mut wire = secure.world.wire_over(stream);
        let sent = wire.try_send("GET /pricing HTTP/1.1\r\nhost: api.test\r\n\r\n").await;
        let reply = if sent { wire.read("GET").await } else { None };
        reply.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    answered.await.is_ok_and(|reply| reply.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_clients_certificates_is_replaced_and_connections_stay() {
    let ours = Authority::new("ours");
    let pair = in_toml(&ours.sign(&[HOST]));
    let asking =
        |ca: &Authority| format!("{pair}, client_auth = \"required\", client_ca = {}", pem(&ca.pem()));
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let secure = Secure::start_as(ours, &pair, "").await;
    let [nobody, of_first, of_second] = [
        secure.client(),
        secure.client().showing(&first.sign(&["acme"])),
        secure.client().showing(&second.sign(&["acme"])),
    ];
    assert!(is_served(&secure, &nobody).await);
    with_tls(&secure.world, &asking(&first)).await;
    secure.world.reconfigure("[auth.client_certificate]\ncustomer = \"subject_cn\"").await;
    assert!(!is_served(&secure, &nobody).await && is_served(&secure, &of_first).await);
    assert!(!is_served(&secure, &of_second).await);
    let mut open = secure.world.wire_over(secure.connect(&of_first).await);
    let customer = secure.world.customer("acme");
    assert_eq!(open.ask(&customer, "GET /free HTTP/1.1").await.status, 200);
    let unnamed = "GET /free HTTP/1.1\r\nhost: api.test\r\n\r\n";
    let mut unnamed = async || {
        open.send(unnamed).await;
        open.read("GET").await.map(|reply| reply.status)
    };
    assert_eq!(unnamed().await, Some(200), "its certificate names who pays");
    let mut file = secure.world.configuration();
    file["auth"].as_table_mut().expect("a table").remove("client_certificate");
    secure.world.configure_from(file, "");
    secure.world.reloaded().await;
    assert_eq!(unnamed().await, Some(401), "it names nobody any more");
    with_tls(&secure.world, &asking(&second)).await;
    assert!(!is_served(&secure, &of_first).await && is_served(&secure, &of_second).await);
    assert_eq!(open.ask(&customer, "GET /free HTTP/1.1").await.status, 200, "it goes on");
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_handshakes_agree_on_and_who_is_let_in_follows_the_file() {
    let ours = Authority::new("ours");
    let pair = in_toml(&ours.sign(&[HOST]));
    let secure = Secure::start_as(ours, &pair, "").await;
    let client = secure.client().offering(&["h2", "http/1.1"]);
    let agreed = async || {
        let stream = secure.connect(&client).await;
        stream.get_ref().1.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned())
    };
    let old = secure.client().only_tls12();
    assert_eq!((agreed().await.as_deref(), is_served(&secure, &old).await), (Some("h2"), true));
    secure.world.reconfigure("[server]\nhttp2 = false").await;
    assert_eq!(agreed().await.as_deref(), Some("http/1.1"));
    with_tls(&secure.world, &format!("{pair}, min_version = \"1.3\"")).await;
    assert!(!is_served(&secure, &old).await && is_served(&secure, &secure.client()).await);
    let held = secure.connect(&secure.client()).await;
    secure.world.reconfigure("[server]\nmax_connections = 1").await;
    assert!(!is_served(&secure, &secure.client()).await, "there is one already");
    secure.world.reconfigure("[server]\nmax_connections = 0").await;
    assert!(is_served(&secure, &secure.client()).await);
    drop(held);
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_beside_the_first_stay_where_they_are() {
    let secure = Secure::start().await;
    let base = secure.world.configuration();
    for key in ["plain_listen", "redirect_listen"] {
        secure.world.configure_from(base.clone(), &format!("[server]\n{key} = [\"127.0.0.1:1\"]"));
        let reply = secure.world.reload().await;
        assert_eq!(reply.status, 422, "{key}");
        assert!(reply.text().contains(&format!("server.{key} needs a restart")), "{}", reply.text());
    }
    secure.world.finish().await;
}
