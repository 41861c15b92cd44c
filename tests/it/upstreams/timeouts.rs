//! How long each step may take. Who waits in vain is told so, and pays nothing.

use http::Method;

use crate::harness::{Behaviour, Reply, Upstream, World};

use super::{ask, get, hits, upstreams};

fn told(reply: &Reply) -> (u16, String, u64) {
    (reply.status, reply.code(), reply.charged())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_begin_in_time_is_not_waited_for() {
    let timed_out = (504, "upstream_timeout".to_owned(), 0);
    for limit in ["first_byte_timeout = \"300ms\"", "total_timeout = \"300ms\"", "read_timeout = \"300ms\""] {
        let server = Upstream::start().await;
        server.on("/export/csv", Behaviour::Held);
        let config = upstreams(&[&server], &format!("retries = 3\n{limit}"));
        let world = World::builder().config(&config).start().await;
        let customer = world.customer("patient");
        for plain in [true, false] {
            for method in [Method::GET, Method::POST] {
                let reply = ask(&customer, &method, "/export/csv", plain).await;
                assert_eq!(told(&reply), timed_out, "{limit} {method} plain: {plain}");
            }
            assert_eq!(get(&customer, "/signals", plain).await.status, 200);
        }
        assert_eq!(server.hits("/export/csv"), 4, "{limit}: nothing is asked again that took too long");
        server.release();
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_waited_for_beyond_what_its_beginning_may_take() {
    let server = Upstream::start().await;
    server.on("/export/csv", Behaviour::CutLater);
    let limits = "first_byte_timeout = \"300ms\"\ntotal_timeout = \"300ms\"";
    let world = World::builder().config(&upstreams(&[&server], limits)).start().await;
    let customer = world.customer("patient");
    let mut wire = world.wire().await;
    let reply = wire.ask_for_head(&customer, "GET /export/csv HTTP/1.1").await;
    assert_eq!(reply.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await; // as slowly as such an API is
    server.release();
    let (mut stream, mut read) = wire.into_stream();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut read).await.expect("it ends");
    assert_eq!(String::from_utf8_lossy(&read), "{\"half\":", "it was there until the API itself broke off");
    customer.until_used(0).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_attempts_together_have_their_time() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.on("/signals", Behaviour::Status(503));
    b.on("/signals", Behaviour::Held);
    let limits = "retries = 5\nretry_on = [503]\ntotal_timeout = \"500ms\"";
    let world = World::builder().config(&upstreams(&[&a, &b], limits)).start().await;
    let customer = world.customer("patient");
    for plain in [true, false] {
        assert_eq!(told(&get(&customer, "/signals", plain).await), (504, "upstream_timeout".to_owned(), 0));
    }
    assert_eq!(hits(&[&b], "/signals"), [2]);
    b.release();
    world.finish().await;
}
