//! Threads that work beside the requests give way to those that serve them.
//!
//! On few cores a second of folding, or a transaction of twenty thousand rows, would otherwise take its turn like a
//! request and make many of them wait. Who gives way must hold no lock for long that a request may wait for: on a busy
//! machine it would be held ten times as long.

/// The nice value of a thread that gives way: beside a busy worker it gets a tenth of the core, and all of an idle one.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The calling thread gives way from now on. Where this cannot be it goes on as it is.
#[cfg(target_os = "linux")]
pub fn give_way() {
    // On Linux a thread has a priority of its own: "the process" is the thread that asks.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread cannot give way to the requests");
    }
}

/// Elsewhere priorities are those of whole processes.
#[cfg(not(target_os = "linux"))]
pub fn give_way() {}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_gives_way_alone() {
        use rustix::process::getpriority_process;

        let before = getpriority_process(None).expect("known");
        let there = std::thread::spawn(|| {
            super::give_way();
            getpriority_process(None).expect("known")
        });
        assert_eq!(there.join().expect("ends"), super::NICE);
        assert_eq!(getpriority_process(None).expect("known"), before);
    }
}
