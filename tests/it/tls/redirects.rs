//! Ports that send clients on.

use super::Secure;
use crate::harness::{Authority, Wire, free_address};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_sent_to_the_same_path_on_https_and_nothing_is_metered() {
    let redirect = free_address();
    let more = format!(
        "[server]\nredirect_listen = [\"{redirect}\"]\nredirect_except = [\"/health\"]\n\
         public_url = \"https://api.test\""
    );
    let secure = Secure::start_with(Authority::new("ours"), "", &more).await;
    let customer = secure.world.customer("lost");
    let connect = async || -> Wire {
        secure.world.wire_over(tokio::net::TcpStream::connect(redirect).await.expect("the port is open"))
    };
    for (head, body, status, location) in [
        (
            "GET /signals?a=1&b=%20 HTTP/1.1\r\nhost: other.test:80",
            "",
            301,
            "https://other.test/signals?a=1&b=%20",
        ),
        ("HEAD / HTTP/1.1\r\nhost: a", "", 301, "https://a/"),
        ("POST /signals HTTP/1.1\r\nhost: a\r\ncontent-length: 3", "abc", 308, "https://a/signals"),
        ("GET //evil.test/ HTTP/1.1\r\nhost: a", "", 301, "https://a//evil.test/"),
        ("GET / HTTP/1.1\r\nhost: evil.test/", "", 301, "https://api.test/"),
        ("GET / HTTP/1.0", "", 301, "https://api.test/"),
    ] {
        let mut wire = connect().await;
        wire.send(&format!("{head}\r\nauthorization: Bearer {}\r\n\r\n{body}", customer.token)).await;
        let method = head.split(' ').next().expect("a method");
        let reply = wire.read(method).await.expect("an answer");
        assert_eq!((reply.status, reply.header("location")), (status, Some(location)), "{head}");
        assert_eq!((reply.charged(), reply.header("connection")), (0, Some("close")), "{head}");
        assert!(wire.read("GET").await.is_none(), "{head}: the connection ends");
    }
    let mut wire = connect().await;
    for _ in 0..2 {
        wire.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let served = wire.read("GET").await.expect("an answer");
        assert_eq!((served.status, &served.json()["path"]), (200, &"/health".into()), "this is served here");
    }
    assert_eq!((secure.world.upstream.hits("/signals"), secure.world.upstream.hits("/health")), (0, 2));
    assert_eq!(customer.used().await, 0);
    secure.world.finish().await;
}
