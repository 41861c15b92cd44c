//! The circuit breaker: after enough failures in a row nothing is sent to Stripe but a probe now and then.
//!
//! Pure: `now` is an argument. Invariants:
//! - a success closes the circuit, whichever call it belongs to;
//! - while it is open at most one probe is out, and one is let through at least every [`LONGEST_PAUSE`], even
//!   when an earlier probe never reported back;
//! - failures of calls that were already on their way when it opened postpone no probe.

use std::time::{Duration, Instant};

/// Failures in a row that open the circuit.
pub(super) const FAILURES_TO_OPEN: u32 = 5;
/// From opening to the first probe; doubles with every failed probe.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest time without a probe.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a call's end says about Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It answered; a refusal (4xx, 429 included) is an answer.
    Answered,
    /// Network error, timeout or 5xx.
    Failed,
}

/// The breaker's state; see the module's invariants.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    /// The next call at or after `probe_at` is the probe; `pause` is what was waited for it.
    Open {
        probe_at: Instant,
        pause: Duration,
    },
    /// A probe is out; should it not report by `lost_at`, the next call is another.
    Probing {
        lost_at: Instant,
        pause: Duration,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 } }
    }
}

impl Breaker {
    /// Whether a call may be sent now. In an open circuit a yes makes the call the probe.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { probe_at: due, pause } | State::Probing { lost_at: due, pause } => {
                let admitted = now >= due;
                if admitted {
                    self.state = State::Probing { lost_at: now + LONGEST_PAUSE, pause };
                }
                admitted
            }
        }
    }

    /// Takes in how a call ended.
    pub(super) fn report(&mut self, health: Health, now: Instant) {
        self.state = match (health, self.state) {
            (Health::Answered, _) => State::Closed { failures: 0 },
            (Health::Failed, State::Closed { failures }) if failures + 1 < FAILURES_TO_OPEN => {
                State::Closed { failures: failures + 1 }
            }
            (Health::Failed, State::Closed { .. }) => {
                State::Open { probe_at: now + FIRST_PAUSE, pause: FIRST_PAUSE }
            }
            (Health::Failed, open @ State::Open { .. }) => open,
            (Health::Failed, State::Probing { pause, .. }) => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                State::Open { probe_at: now + pause, pause }
            }
        };
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert!(breaker.admit(now));
            breaker.report(Health::Failed, now);
        }
        breaker
    }

    #[test]
    fn one_failure_fewer_than_needed_keeps_it_closed() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES_TO_OPEN {
            breaker.report(Health::Failed, now);
        }
        assert!(breaker.admit(now) && !breaker.is_open());
        breaker.report(Health::Failed, now);
        assert!(!breaker.admit(now) && breaker.is_open());
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_anew() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.report(Health::Failed, now);
            }
            breaker.report(Health::Answered, now);
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn one_probe_is_let_through_and_its_success_closes() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + FIRST_PAUSE;
        assert!(breaker.admit(later), "the probe");
        assert!(!breaker.admit(later), "not a second one beside it");
        breaker.report(Health::Answered, later);
        assert!(breaker.admit(later) && !breaker.is_open());
    }

    #[test]
    fn failed_probes_space_out_up_to_the_longest_pause() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for seconds in [1, 2, 4, 8, 10, 10, 10] {
            let pause = Duration::from_secs(seconds);
            assert!(!breaker.admit(now + Duration::from_millis(seconds * 1000 - 1)), "{seconds}");
            now += pause;
            assert!(breaker.admit(now), "{seconds}");
            breaker.report(Health::Failed, now);
        }
    }

    #[test]
    fn a_probe_that_never_reports_is_followed_by_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.admit(now + FIRST_PAUSE));
        assert!(breaker.admit(now + FIRST_PAUSE + LONGEST_PAUSE));
    }

    #[test]
    fn late_failures_of_older_calls_postpone_no_probe() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.report(Health::Failed, now + FIRST_PAUSE / 2);
        assert!(breaker.admit(now + FIRST_PAUSE));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Wait(u64),
        Call(Option<Health>), // none: the caller went away
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let call = prop_oneof![
            Just(Step::Call(Some(Health::Failed))),
            Just(Step::Call(Some(Health::Answered))),
            Just(Step::Call(None)),
        ];
        prop::collection::vec(prop_oneof![(0_u64..4000).prop_map(Step::Wait), call], 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happened_a_call_gets_through_within_the_longest_pause(steps in steps()) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            for step in steps {
                match step {
                    Step::Wait(millis) => now += Duration::from_millis(millis),
                    Step::Call(outcome) => {
                        if breaker.admit(now) && let Some(health) = outcome {
                            breaker.report(health, now);
                        }
                    }
                }
            }
            prop_assert!(breaker.admit(now + LONGEST_PAUSE));
            breaker.report(Health::Answered, now);
            prop_assert!(!breaker.is_open());
        }
    }
}
