//! What is said between the state machine and the shell: parts, acts, events.

use std::time::Duration;

/// What an instance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Application and sidecar; takes clients' traffic.
    Production,
    /// Application only; takes copies.
    Shadow,
    /// Proxy only: the balancer in front of production.
    Front,
}

/// One of an instance's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The application.
    App,
    /// The sidecar or the front balancer.
    Proxy,
}

/// What the shell has to do for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Start these parts, then watch for readiness and report it with this attempt.
    Start {
        /// Number of the start.
        attempt: u32,
        /// The application is to be started.
        app: bool,
        /// The proxy is to be started.
        proxy: bool,
    },
    /// Watch for requests under way to end; report it with this drain's number.
    WatchIdle {
        /// Number of the drain.
        drain: u32,
    },
    /// SIGTERM to every process group of the instance.
    Terminate,
    /// SIGKILL to every process group of the instance.
    Kill,
    /// Nothing of it runs any more: remove control group and files.
    Remove,
}

/// What the shell saw.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A part was started.
    Started {
        /// Which.
        part: Part,
        /// Process.
        pid: u32,
        /// Port it was told to listen on.
        port: u16,
    },
    /// A part ended, or could not be started.
    Exited {
        /// Which.
        part: Part,
        /// How, in words.
        how: String,
    },
    /// It answers.
    Ready {
        /// Of this start.
        attempt: u32,
        /// Admin address of the proxy, when it has one.
        admin_url: Option<String>,
    },
    /// Nothing is under way any more.
    Idle {
        /// Of this drain.
        drain: u32,
    },
}

/// Time limits, from the spec.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a start.
    pub ready_timeout: Duration,
    /// For requests under way.
    pub drain: Duration,
}
