//! The command line: Envoy's own flags where they mean something here, so that scripts written for Envoy run unchanged.

use crate::init::options::Options;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Sidecar proxy: Envoy-format configuration, bounded mirroring, latency histograms of both paths.
#[derive(Debug, Parser)]
#[command(name = "foreshadow-proxy", version, about, long_about = None, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Something else than serving
    #[command(subcommand)]
    pub command: Option<Task>,
    /// Configuration file, YAML or JSON in Envoy's format
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config_path: Option<PathBuf>,
    /// Configuration text, laid over the file's
    #[arg(long, value_name = "TEXT")]
    pub config_yaml: Option<String>,
    /// Serve, or only check the configuration
    #[arg(long, value_enum, default_value_t = Mode::Serve)]
    pub mode: Mode,
    /// Worker threads [default: number of processors]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<usize>,
    /// Log level: trace, debug, info, warning, error, critical, off
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
    /// Log format: 'json', or anything else for text
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Log to this file instead of standard error
    #[arg(long, value_name = "FILE")]
    pub log_path: Option<PathBuf>,
    /// Seconds that requests under way may take to finish after SIGTERM
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub drain_time_s: u64,
    /// Seconds after SIGTERM in which serving goes on as before, until nobody is sent here any more; then the drain begins
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub linger_time_s: u64,
    /// Write the admin address to this file once it listens
    #[arg(long, value_name = "FILE")]
    pub admin_address_path: Option<PathBuf>,
    /// Accepted for Envoy's sake; there is no hot restart here
    #[arg(long)]
    pub disable_hot_restart: bool,
    /// Accepted for Envoy's sake
    #[arg(long, value_name = "N")]
    pub base_id: Option<u32>,
    /// Accepted for Envoy's sake
    #[arg(long, value_name = "NAME")]
    pub service_cluster: Option<String>,
    /// Name of this proxy in its snapshots [default: host:pid]
    #[arg(long, value_name = "NAME")]
    pub service_node: Option<String>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Redirect a network namespace's TCP connections to the proxy, or undo that
    Init(Options),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Serve.
    Serve,
    /// Check the configuration and end.
    Validate,
}
