//! What is known of a server: by asking it, and by how requests fare.
//!
//! # What it promises
//!
//! - A single answer to a check changes nothing where several in a row are asked for.
//! - Failures count that follow one another within a while; whoever fails again soon after it came back is left alone
//!   for longer.
//! - At most half of the servers are left alone for what requests met: what fails everywhere is not a server's fault.

/// A server that goes on failing is left alone for at most so many times the first while.
const MOST_TIMES: u32 = 10;

/// When checks change what is thought of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckRules {
    /// Good answers in a row after which a server is well again.
    pub rise: u32,
    /// Bad ones after which it is not.
    pub fall: u32,
}

/// What checks say of a server. It is well until they say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    ill: bool,
    /// Answers in a row that say the opposite.
    against: u32,
}

impl Checked {
    pub fn is_well(self) -> bool {
        !self.ill
    }

    /// Takes note of an answer; true where it changes what is thought.
    pub fn note(&mut self, good: bool, rules: CheckRules) -> bool {
        if good == self.is_well() {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let changes = self.against >= if good { rules.rise } else { rules.fall };
        if changes {
            *self = Self { ill: !good, against: 0 };
        }
        changes
    }
}

/// When requests' failures have consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectRules {
    /// So many in a row,
    pub failures: u32,
    /// in at most this time,
    pub within_ms: u64,
    /// and the server is left alone for this long, the first time.
    pub lasts_ms: u64,
}

/// What requests say of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    in_a_row: u32,
    /// Of these.
    first_ms: u64,
    /// How often it has been left alone, with no long while in between.
    times: u32,
    /// Until when it is, or was the last time.
    until_ms: u64,
}

impl Failures {
    /// Takes note of a failure; true where the server should be left alone.
    pub fn failed(&mut self, rules: EjectRules, now_ms: u64) -> bool {
        if self.in_a_row == 0 || now_ms.saturating_sub(self.first_ms) > rules.within_ms {
            (self.in_a_row, self.first_ms) = (0, now_ms);
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.in_a_row >= rules.failures && now_ms >= self.until_ms
    }

    /// Failures are counted that no good answer has followed.
    pub fn any(self) -> bool {
        self.in_a_row > 0
    }

    pub fn succeeded(&mut self) {
        self.in_a_row = 0;
    }

    /// Leaves it alone from now on, and answers until when.
    pub fn eject(&mut self, rules: EjectRules, now_ms: u64) -> u64 {
        // As long again as it was left alone, and what was before is forgotten.
        let soon = now_ms < self.until_ms.saturating_add(rules.lasts_ms * u64::from(self.times));
        self.times = if soon { (self.times + 1).min(MOST_TIMES) } else { 1 };
        self.in_a_row = 0;
        self.until_ms = now_ms.saturating_add(rules.lasts_ms * u64::from(self.times));
        self.until_ms
    }
}

/// Whether one more of `servers` may be left alone when `out` are.
pub fn may_eject(servers: usize, out: usize) -> bool {
    (out + 1) * 2 <= servers
}
