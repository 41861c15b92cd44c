//! Names of objects: `cus_`, then what is peculiar to this sandbox, then a number.
//!
//! The salt keeps two runs apart: a gateway that remembers event ids from the last run must not take
//! the new run's first event for one it has already handled.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NUMBER_WIDTH: usize = 7;

#[derive(Debug)]
pub struct Ids {
    salt: String,
    next: u64,
}

impl Ids {
    pub fn new(salt: u64) -> Self {
        Self { salt: base62(salt, 11), next: 0 }
    }

    pub fn make(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}_{}{}", self.salt, base62(self.next, NUMBER_WIDTH))
    }
}

fn base62(mut number: u64, width: usize) -> String {
    let mut digits = Vec::with_capacity(width);
    while number > 0 || digits.len() < width {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        digits.push(char::from(ALPHABET[digit]));
        number /= 62;
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_within_a_run_and_between_runs() {
        let (mut first, mut second) = (Ids::new(1), Ids::new(2));
        let ids = [first.make("evt"), first.make("evt"), second.make("evt"), second.make("evt")];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 4);
        assert!(ids.iter().all(|id| id.starts_with("evt_")));
    }
}
