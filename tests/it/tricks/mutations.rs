//! Tricks at random: parts of the known ones cut, doubled, joined, and mixed with what parsers stumble over.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use crate::harness::{Customer, Dice, PATIENCE, World, setting};

use super::play::{Trick, WAYS, filled_in, is_read_alike, price_of, world};
use super::reading::Request;
use super::witness::Witness;
use super::{chunks, framing, lines, names, paths};

/// How many; `TOLLGATE_TEST_TRICKS` says another number.
const USUAL: usize = 500;
/// So many connections at once.
const AT_ONCE: usize = 25;
/// The gateway has said all when it says nothing for so long; what comes later is still judged.
const QUIET: Duration = Duration::from_millis(100);

const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"%",
    b"%2f",
    b"../",
    b"\xff",
    b"\x0b",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"2\r\n{}\r\n",
    b"0",
    b"chunked",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 2\r\n",
    b"content-length: 0\r\n",
    b"connection: close\r\n",
    b"expect: 100-continue\r\n",
    b"connection: content-length\r\n",
    b"x-tollgate-customer: evil\r\n",
    b" HTTP/1.1\r\n",
    b"HTTP/1.0",
    b"host: api.test\r\n",
    b"GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
    b"{me}\r\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_mutation_of_a_trick_is_heard_and_not_paid_for() {
    let mut dice = Dice::new("no_mutation_of_a_trick_is_heard_and_not_paid_for");
    let number = setting("TOLLGATE_TEST_TRICKS", USUAL);
    let (world, witness, customer) = world().await;
    let tricks: Vec<Vec<u8>> = (0..number).map(|_| mutated(&mut dice)).collect();
    let played = stream::iter(&tricks).map(|sent| one(&world, &customer, sent)).buffer_unordered(AT_ONCE);
    let answered: BTreeMap<String, u64> = played.collect::<Vec<_>>().await.into_iter().flatten().collect();
    let heard = judge(&world, &witness, &answered).await;
    eprintln!("mutations: {number} tricks, {heard} requests heard, all metered");
    // What broke off may have been charged, and its answer lost on the way.
    world.in_doubt(&customer.name, 5 * number as u64);
    world.finish().await;
}

fn known() -> Vec<&'static Trick> {
    [framing::TRICKS, chunks::TRICKS, lines::TRICKS, paths::TRICKS, names::TRICKS]
        .into_iter()
        .flatten()
        .collect()
}

fn mutated(dice: &mut Dice) -> Vec<u8> {
    let known = known();
    let mut sent = known[dice.below(known.len())].sent.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(sent.len() + 1);
        match dice.below(6) {
            0 => drop(sent.drain(at..(at + 1 + dice.below(3)).min(sent.len()).max(at))),
            1 if at < sent.len() => sent[at] = u8::try_from(dice.below(256)).expect("a byte"),
            2 => {
                let end = (at + dice.below(24)).min(sent.len());
                let twice = sent[at..end].to_vec();
                sent.splice(at..at, twice);
            }
            3 => {
                let other = known[dice.below(known.len())].sent;
                sent.truncate(at);
                sent.extend_from_slice(&other[dice.below(other.len())..]);
            }
            _ => drop(sent.splice(at..at, PIECES[dice.below(PIECES.len())].iter().copied())),
        }
    }
    sent
}

/// Sends a mutation, then what ends any request that it may have begun; answers what was charged, by request.
async fn one(world: &World, customer: &Customer, sent: &[u8]) -> Vec<(String, u64)> {
    let mut wire = world.wire().await;
    let mut charged = Vec::new();
    let method = if sent.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let played = async {
        let _ = wire.try_send_bytes(&filled_in(sent, customer, WAYS[sent.len() % 2])).await;
        for quiet in [QUIET, PATIENCE] {
            while let Ok(Some(reply)) = timeout(quiet, wire.read_as(customer, method)).await {
                let id = reply.header("x-request-id").unwrap_or_default().to_owned();
                charged.push((id, reply.charged()));
            }
            if quiet == QUIET {
                let _ = wire.try_send_bytes(&ending()).await;
            }
        }
    };
    timeout(2 * PATIENCE, played).await.expect("every connection ends");
    charged
}

/// Ends any header and any body: as many bytes as a body may have, and a request that says it is the last.
fn ending() -> Vec<u8> {
    let mut ending = b"\r\n0\r\n\r\n".to_vec();
    ending.extend(b"\r\n".repeat(36 * 1024));
    ending.extend_from_slice(b"GET /health HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\n\r\n");
    ending
}

/// What clients were answered was heard at its full price, and is in the ledger; what the ledger holds was heard.
async fn judge(world: &World, witness: &Witness, answered: &BTreeMap<String, u64>) -> usize {
    world.flush_all().await;
    assert_eq!(witness.unreadable(), [""; 0]);
    for bytes in witness.heard() {
        is_read_alike(&bytes);
    }
    let metered = world.metered();
    let heard: BTreeMap<String, Request> = witness
        .requests()
        .into_iter()
        .map(|request| (request.id().expect("an id").to_owned(), request))
        .collect();
    for (id, request) in &heard {
        let units = metered.get(id).copied().unwrap_or(0);
        let told = answered.get(id).is_some() && request.whole;
        assert!(!told || units >= price_of(request), "{units} units for {request:?}");
    }
    for (id, units) in metered.iter().filter(|(_, units)| **units != 0) {
        assert!(heard.contains_key(id), "{units} units for {id}, which nobody heard");
    }
    heard.len()
}
