//! Which certificate is shown, and what handshakes agree on.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{HOST, Secure, in_toml};
use crate::harness::{Authority, PATIENCE, TlsClient, in_time, until};

/// The common name of the certificate that a client is shown for a host; none where it believes none.
async fn shown(secure: &Secure, client: &TlsClient, host: &str) -> Option<String> {
    let stream = client.connect(secure.https, host).await.ok()?;
    let certificates = stream.get_ref().1.peer_certificates().expect("a certificate");
    tollgate::tls::common_name(&certificates[0])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_is_shown_its_certificate_and_unknown_ones_the_first() {
    let authority = Authority::new("ours");
    // Each but the first would do for a host that it is not configured for.
    let [first, a, wild] = [
        authority.sign(&["first", "nobody.test", "deep.a.b.test"]),
        authority.sign(&["a.test", "x.a.test"]),
        authority.sign(&["wild", "*.b.test", "other.test"]),
    ];
    let tls = format!(
        "certificates = [{{ {} }}, {{ {} }}, {{ {}, names = [\"*.B.test\", \"other.test\"] }}]",
        in_toml(&first),
        in_toml(&a),
        in_toml(&wild)
    );
    let secure = Secure::start_as(authority, &tls, "").await;
    let client = secure.client();
    for (host, name) in [
        ("a.test", "a.test"),
        ("A.Test", "a.test"),
        ("x.b.test", "wild"),
        ("other.test", "wild"),
        ("nobody.test", "first"),
        ("deep.a.b.test", "first"),
    ] {
        assert_eq!(shown(&secure, &client, host).await.as_deref(), Some(name), "{host}");
    }
    assert_eq!(shown(&secure, &client, "none.test").await, None, "the first is not for it");
    for host in ["first", "a.test", "*.b.test"] {
        let ends = format!("tollgate_certificate_expires_seconds{{name=\"{host}\"}}");
        let ends = secure.world.metric(&ends).await;
        assert!(ends > Some(4_000_000_000), "{host}: {ends:?}");
    }
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_agreed_on_from_1_2_or_what_is_configured() {
    let usual = Secure::start().await;
    let newest = Secure::start_with(Authority::new("ours"), "min_version = \"1.3\"", "").await;
    for (secure, old, version) in [(&usual, true, "TLSv1_2"), (&newest, false, "TLSv1_3")] {
        let client = secure.client();
        let both = secure.connect(&client).await;
        assert_eq!(both.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let old_client = client.only_tls12().connect(secure.https, HOST).await;
        assert_eq!(old_client.is_ok(), old, "{version}");
        assert_eq!(alert_for_tls11(secure).await, 70, "protocol_version (RFC 8446, section 6.2)");
    }
    usual.world.finish().await;
    newest.world.finish().await;
}

/// A client that knows TLS 1.1 at most: the alert that it is answered with.
async fn alert_for_tls11(secure: &Secure) -> u8 {
    let short = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
    let suites = [0xc0, 0x13, 0x00, 0x2f];
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, short(&suites)]);
    hello.extend(suites);
    hello.extend([1, 0]);
    // Groups, point formats and signatures that would do.
    let extensions =
        [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 11, 0, 2, 1, 0], &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4]].concat();
    hello.extend([0, short(&extensions)]);
    hello.extend(extensions);
    let mut record = vec![22, 3, 1, 0, short(&hello) + 4, 1, 0, 0, short(&hello)];
    record.extend(hello);
    let mut stream = TcpStream::connect(secure.https).await.expect("the port is open");
    stream.write_all(&record).await.expect("open");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.expect("an alert");
    assert_eq!((answer[0], answer[5]), (21, 2), "a fatal alert: {answer:?}");
    answer[6]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_agrees_on_http2_where_it_is_offered() {
    let usual = Secure::start().await;
    let without = Secure::start_with(Authority::new("ours"), "", "[server]\nhttp2 = false").await;
    for (secure, offered, agreed) in [
        (&usual, &["h2", "http/1.1"][..], Some("h2")),
        (&usual, &["http/1.1"], Some("http/1.1")),
        (&usual, &[], None),
        (&without, &["h2", "http/1.1"], Some("http/1.1")),
    ] {
        let stream = secure.connect(&secure.client().offering(offered)).await;
        let protocol = stream.get_ref().1.alpn_protocol();
        assert_eq!(protocol, agreed.map(str::as_bytes), "{offered:?}");
    }
    let only = without.client().offering(&["h2"]);
    assert!(only.connect(without.https, HOST).await.is_err(), "there is nothing to agree on");
    usual.world.finish().await;
    without.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_a_handshake_is_cut_and_others_are_served() {
    let secure = Secure::start_with(Authority::new("ours"), "", "[server]\nheader_timeout = \"500ms\"").await;
    let customer = secure.world.customer("quick");
    let mut silent = Vec::new();
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(secure.https).await.expect("the port is open");
        stream.write_all(begun).await.expect("open");
        silent.push(stream);
    }
    let mut plain = TcpStream::connect(secure.https).await.expect("the port is open");
    plain.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    silent.push(plain);
    assert_eq!(secure.ask(&secure.client(), &customer, "GET /signals HTTP/1.1").await.charged(), 1);
    for mut stream in silent {
        // An alert, or nothing, and the end.
        let mut rest = Vec::new();
        // However it ends.
        let _ = in_time(stream.read_to_end(&mut rest)).await;
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
    until("four handshakes that were refused", PATIENCE, async || {
        let refused = secure.world.metric("tollgate_connections_refused_total{why=\"handshake\"}").await;
        assert!(refused <= Some(4), "{refused:?}");
        refused.filter(|refused| *refused == 4)
    })
    .await;
    secure.world.finish().await;
}
