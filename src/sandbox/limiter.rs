//! A cap on requests per second, with a burst of one second's worth.

use std::time::Duration;

#[derive(Debug)]
pub struct Limiter {
    /// The time that one request takes up; `None`: no cap.
    spacing: Option<Duration>,
    /// When all accepted requests will have been paid for.
    paid_until: Duration,
}

impl Limiter {
    pub fn new(requests_per_second: Option<u32>) -> Self {
        let spacing = requests_per_second.map(|n| Duration::from_secs(1) / n.max(1));
        Self { spacing, paid_until: Duration::ZERO }
    }

    /// Whether a request may pass; `now` is the time since some fixed moment.
    pub fn admit(&mut self, now: Duration) -> bool {
        let Some(spacing) = self.spacing else {
            return true;
        };
        let next = self.paid_until.max(now) + spacing;
        let fits = next <= now + Duration::from_secs(1);
        if fits {
            self.paid_until = next;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_cap_passes_in_a_burst_and_it_refills() {
        let mut limiter = Limiter::new(Some(25));
        let second = Duration::from_secs(1);
        let passed = |limiter: &mut Limiter, now| (0..100).filter(|_| limiter.admit(now)).count();
        assert_eq!(passed(&mut limiter, second), 25);
        assert_eq!(passed(&mut limiter, second + Duration::from_millis(400)), 10);
        assert_eq!(passed(&mut limiter, second * 10), 25);
    }

    #[test]
    fn without_a_cap_everything_passes() {
        let mut limiter = Limiter::new(None);
        assert!((0..1000).all(|_| limiter.admit(Duration::ZERO)));
    }
}
