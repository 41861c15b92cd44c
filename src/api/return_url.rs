//! Where customers are sent back to.

use crate::domain::origin::Origin;
use crate::problem::{Code, Problem};

/// As much as any browser takes.
const LONGEST: usize = 2_000;

/// The address a body or query gives, if its origin is one of the configured ones.
pub(super) fn checked(field: &str, url: &str, origins: &[Origin]) -> Result<String, Problem> {
    let plain = url.len() <= LONGEST && url.bytes().all(|byte| byte.is_ascii_graphic());
    let origin = plain.then(|| Origin::of(url)).flatten();
    if origin.is_some_and(|origin| origins.contains(&origin)) {
        return Ok(url.to_owned());
    }
    let detail = match origins {
        [] => {
            format!("{field}: no return address is allowed here until billing.return_origins names an origin")
        }
        origins => {
            let allowed: Vec<_> = origins.iter().map(Origin::to_string).collect();
            format!("{field} must be an address below {}", allowed.join(" or "))
        }
    };
    Err(Problem::new(Code::Unprocessable, detail))
}

/// Where nothing is said: the front page of the first origin.
pub(super) fn usual(field: &str, origins: &[Origin]) -> Result<String, Problem> {
    match origins.first() {
        Some(origin) => Ok(format!("{origin}/")),
        None => checked(field, "", origins),
    }
}
