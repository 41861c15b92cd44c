//! `[fleet]`.

use std::time::Duration;

use rust_decimal::Decimal;

use super::stripe;
use crate::config::containers::ByName;
use crate::config::findings::{At, Findings};
use crate::config::values::redis::Redis;
use crate::config::values::secret::Content;
use crate::config::written;
use crate::domain::lease::UNLIMITED;

pub use crate::config::written::OnRedisLoss;

/// Nothing older is taken by Stripe, but for some days in which a machine may come back.
const LATEST_TAKE_OVER: Duration = Duration::from_hours(30 * 24);

/// Several gateways that share a Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    pub redis: Redis,
    /// Certificates (PEM) of who signs the servers'; `None`: those that the machine trusts.
    pub redis_ca: Option<String>,
    /// This one's name.
    pub node: String,
    pub on_redis_loss: OnRedisLoss,
    /// A slower answer of Redis counts as none.
    pub redis_timeout: Duration,
    /// The longest that a request waits for what it needs of the fleet.
    pub lease_wait: Duration,
    /// How often what has changed is told to the others.
    pub publish_interval: Duration,
    /// A node not heard of for so long is lost.
    pub take_over_after: Duration,
}

/// The section, and what a fleet asks of the others: of the tiers, and of where Stripe is.
pub(crate) fn check(
    fleet: &written::Fleet,
    tiers: Option<&ByName<written::Tier>>,
    stripe: Option<&stripe::Stripe>,
    found: &mut Findings,
) -> Option<Fleet> {
    check_spans(fleet, found);
    check_caps(tiers, found);
    if let (Some(stripe::Mode::Sandbox { .. }), Some(node)) =
        (stripe.map(|stripe| &stripe.mode), fleet.node.at())
    {
        let what = "in sandbox mode each gateway has a Stripe of its own, so the others' news never comes";
        found.warning(&node.place, what, "run one `tollgate sandbox`, and name it in stripe.api_base");
    }
    let redis = fleet.redis.at()?;
    check_way(redis, fleet.redis_ca.at(), found);
    Some(Fleet {
        redis: redis.value.clone(),
        redis_ca: fleet.redis_ca.get().map(|content| content.0.clone()),
        node: fleet.node.get()?.0.clone(),
        on_redis_loss: fleet.on_redis_loss.value,
        redis_timeout: fleet.redis_timeout.value.0,
        lease_wait: fleet.lease_wait.value.0,
        publish_interval: fleet.publish_interval.value.0,
        take_over_after: fleet.take_over_after.value.0,
    })
}

fn check_way(redis: &At<Redis>, authorities: Option<&At<Content>>, found: &mut Findings) {
    let is_here = |(host, _): &(String, u16)| matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
    let leaves = !redis.value.servers.iter().all(is_here);
    if redis.value.password.is_some() && !redis.value.tls && leaves {
        let what = "the password and all usage would travel without TLS";
        found.warning(&redis.place, what, "write rediss instead of redis, unless the network is your own");
    }
    let Some(authorities) = authorities else { return };
    if !redis.value.tls {
        let what = "there is no TLS whose certificates this could be for";
        found.error(
            &authorities.place,
            what,
            "write rediss instead of redis in fleet.redis, or leave this out",
        );
    } else if !authorities.value.0.contains("-----BEGIN CERTIFICATE-----") {
        // It may be a key.
        found.masked.push(authorities.place.span.clone());
        let help = "name a file in PEM: fleet.redis_ca = { file = \"redis-ca.pem\" }";
        found.error(&authorities.place, "there is no certificate in it", help);
    }
}

fn check_spans(fleet: &written::Fleet, found: &mut Findings) {
    if fleet.publish_interval.value.0 > Duration::from_secs(1) {
        let what = "totals would be older than a second";
        found.error(&fleet.publish_interval.place, what, "write at most \"1s\"");
    }
    if fleet.lease_wait.value.0 < fleet.redis_timeout.value.0 {
        let what = "requests would give up before a slow answer of Redis counts as none";
        found.error(&fleet.lease_wait.place, what, "write at least what fleet.redis_timeout says");
    }
    if fleet.take_over_after.value.0 > LATEST_TAKE_OVER {
        let what = "Stripe would no longer take the usage of a lost machine: 35 days is the oldest it takes";
        found.error(&fleet.take_over_after.place, what, "write at most \"30d\"");
    }
}

/// A cap is shared out in whole parts of the smallest amount there is: they must be countable.
fn check_caps(tiers: Option<&ByName<written::Tier>>, found: &mut Findings) {
    for tier in tiers.map_or(&[][..], |tiers| &tiers.0) {
        let written::Overage::Priced(overage) = &tier.value.overage.value else { continue };
        let (Some(cap), Some(prices)) = (overage.cap.at(), overage.unit_amount.get()) else { continue };
        let amounts = prices.0.iter().map(|price| price.value.0).chain([cap.value.0]);
        let digits = amounts.map(|amount| amount.normalize().scale()).max().unwrap_or(0);
        let part = Decimal::new(1, digits);
        let most = Decimal::from(UNLIMITED).checked_mul(part).unwrap_or(Decimal::MAX);
        if cap.value.0 >= most {
            let what = format!("a fleet cannot share out so much in parts of {part}, the smallest price");
            found.error(&cap.place, what, format!("write less than {}", most.normalize()));
        }
    }
}
