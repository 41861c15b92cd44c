//! Which of several servers takes a request.
//!
//! # What it promises
//!
//! - In turn, each server gets its share of the requests, by weight, spread evenly; a request changes nothing that
//!   another has to wait for.
//! - By caller, one keeps its server for as long as that one is there and well; when a server leaves, only its callers
//!   move.
//! - Another server than those that failed is chosen where there is one, and one that is well before any that is not.
//!   Where none is well, one is tried all the same: what is known may be old.
//!
//! Nothing here reads a clock or remembers: [`choose`] is a function of what is seen of the servers. [`health`] is what
//! is known of each.

pub mod health;

/// One server, as a choice sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Beside the others'; 1 to 1000.
    pub weight: u32,
    /// Requests under way there.
    pub busy: u32,
    pub well: bool,
    /// How long ago it came back, in milliseconds; `None`: it has been there from the start.
    pub back_for_ms: Option<u64>,
    /// Says which callers are its own: the same wherever the same server is configured.
    pub seed: u64,
    /// This request has failed there.
    pub tried: bool,
}

/// The rule of the choice. A turn is a number that grows with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    InTurn(u64),
    /// By weight; equally busy ones in turn.
    LeastBusy(u64),
    /// By [`key_of`] the caller.
    Caller(u64),
}

/// The place of the server that takes the request; none where there are no servers. One that has come back gets fewer
/// requests at first, for as long as `slow_start_ms`; its callers are its own at once.
pub fn choose(pick: Pick, servers: &[Candidate], slow_start_ms: u64) -> Option<usize> {
    let better: [fn(&Candidate) -> bool; 4] =
        [|server| server.well && !server.tried, |server| server.well, |server| !server.tried, |_| true];
    let fits = better.into_iter().find(|fits| servers.iter().any(fits))?;
    let shares = || {
        let fitting = servers.iter().enumerate().filter(move |(_, server)| fits(server));
        fitting.map(|(at, server)| (at, share(server, slow_start_ms)))
    };
    match pick {
        Pick::InTurn(turn) => in_turn(turn, shares),
        Pick::LeastBusy(turn) => least_busy(turn, servers, shares),
        Pick::Caller(key) => {
            let score = |at: &usize| score(key, &servers[*at]);
            shares().map(|(at, _)| at).min_by(|a, b| score(a).total_cmp(&score(b)))
        }
    }
}

/// In thousandths of a weight; a tenth of it at the least.
fn share(server: &Candidate, slow_start_ms: u64) -> u64 {
    let part = match server.back_for_ms {
        Some(ago) if ago < slow_start_ms => {
            let part = u128::from(ago) * 1_000 / u128::from(slow_start_ms);
            u64::try_from(part).unwrap_or(1_000).max(100)
        }
        _ => 1_000,
    };
    u64::from(server.weight) * part
}

/// One after the other where all shares are the same. Else the shares lie one behind the other on a line, and each
/// request has its point there, a golden section further than the last: such points lie evenly, however many there are.
fn in_turn<I: Iterator<Item = (usize, u64)>>(turn: u64, shares: impl Fn() -> I) -> Option<usize> {
    const GOLDEN_SECTION: u64 = 0x9E37_79B9_7F4A_7C15;
    let (_, first) = shares().next()?;
    if shares().all(|(_, share)| share == first) {
        let count = shares().count() as u64;
        let nth = usize::try_from(turn % count).unwrap_or(0);
        return shares().nth(nth).map(|(at, _)| at);
    }
    let whole: u64 = shares().map(|(_, share)| share).sum();
    let point = (u128::from(turn.wrapping_mul(GOLDEN_SECTION)) * u128::from(whole)) >> 64;
    let mut end = 0;
    let behind = |(_, share): &(usize, u64)| {
        end += u128::from(*share);
        end > point
    };
    shares().find(behind).map(|(at, _)| at)
}

fn least_busy<I: Iterator<Item = (usize, u64)>>(
    turn: u64,
    servers: &[Candidate],
    shares: impl Fn() -> I,
) -> Option<usize> {
    let count = servers.len() as u64;
    let load = |at: usize| u64::from(servers[at].busy) + 1;
    // Whose turn it is stands in front, where it wins against its equals.
    let wait = |at: usize| (at as u64 + count - turn % count) % count;
    let lighter = |(a, share_a): &(usize, u64), (b, share_b): &(usize, u64)| {
        (load(*a) * share_b).cmp(&(load(*b) * share_a)).then(wait(*a).cmp(&wait(*b)))
    };
    shares().min_by(lighter).map(|(at, _)| at)
}

/// Weighted rendezvous: each server draws a number for each caller, and the least one wins. Whoever leaves or comes
/// changes nobody else's numbers.
fn score(key: u64, server: &Candidate) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let drawn = ((mixed(key ^ server.seed) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -drawn.ln() / f64::from(server.weight)
}

/// A number for a caller, or a server, by its name: the same on every machine.
pub fn key_of(name: &[u8]) -> u64 {
    // FNV-1a; what is close together is driven apart when it is used.
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    mixed(name.iter().fold(0xCBF2_9CE4_8422_2325, fnv))
}

/// The last step of `SplitMix64`.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
