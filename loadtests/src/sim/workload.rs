//! An application and its clients: what is served, how long it takes, what is promised. Plain values; what a replica of one takes is found by [`super::capacity`].

use crate::sim::replica::Size;

/// An application, its objective and its clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Size of an instance.
    pub size: Size,
    /// Mean wait of a normal request in seconds.
    pub io_s: f64,
    /// Processor seconds of a normal request.
    pub cpu_s: f64,
    /// A slower request is bad.
    pub threshold_s: f64,
    /// Share of requests that must be good.
    pub target_ratio: f64,
    /// Clients give up after this long.
    pub timeout_s: f64,
    /// How often they try again after a failure.
    pub retries: u8,
    /// Spread of the common fluctuation of service times, and its correlation time in seconds.
    pub service_drift: (f64, f64),
    /// The same for the load.
    pub load_drift: (f64, f64),
}

impl Workload {
    /// The sample application as the demonstration runs it.
    pub fn demo() -> Self {
        Self {
            size: Size { workers: 8, queue: 256 },
            io_s: 0.054,
            cpu_s: 0.000_55,
            threshold_s: 0.15,
            target_ratio: 0.99,
            timeout_s: 5.0,
            retries: 0,
            service_drift: (0.02, 10.0),
            load_drift: (0.03, 3.0),
        }
    }

    /// A service of slower requests: a replica takes about 28 a second, so that a day of twelve is twenty million.
    pub fn service() -> Self {
        Self {
            size: Size { workers: 8, queue: 128 },
            io_s: 0.2,
            cpu_s: 0.01,
            threshold_s: 0.55,
            timeout_s: 3.0,
            retries: 1,
            service_drift: (0.05, 60.0),
            load_drift: (0.05, 10.0),
            ..Self::demo()
        }
    }
}
