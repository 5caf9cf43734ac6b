//! Time that other work on the machine does not lengthen.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has used: on a shared machine the clock on the wall measures the others.
pub(crate) fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}
