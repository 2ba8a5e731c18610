//! Logs: to standard error or a file, as text or JSON; the level can be changed while running.

use crate::args::Args;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

/// Changes the level of the running program.
#[derive(Clone)]
pub struct Handle(reload::Handle<LevelFilter, Registry>);

impl Handle {
    /// Sets the level by Envoy's names.
    ///
    /// # Errors
    /// When there is no such level.
    pub fn set(&self, name: &str) -> Result<(), String> {
        let level = level(name)?;
        self.0.reload(level).map_err(|e| e.to_string())
    }
}

/// Starts logging.
///
/// # Errors
/// An unknown level, or a file that cannot be written.
pub fn start(args: &Args) -> Result<Handle, String> {
    let (filter, handle) = reload::Layer::new(level(&args.log_level)?);
    let json = args.log_format.as_deref() == Some("json");
    let (writer, ansi) = match &args.log_path {
        Some(path) => {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|e| format!("--log-path {}: {e}", path.display()))?;
            (fmt::writer::BoxMakeWriter::new(std::sync::Mutex::new(file)), false)
        }
        None => (fmt::writer::BoxMakeWriter::new(std::io::stderr), std::io::IsTerminal::is_terminal(&std::io::stderr())),
    };
    let layer = fmt::layer().with_writer(writer).with_ansi(ansi).with_target(false);
    let layer = if json { layer.json().boxed() } else { layer.boxed() };
    tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(|e| e.to_string())?;
    Ok(Handle(handle))
}

fn level(name: &str) -> Result<LevelFilter, String> {
    Ok(match name {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warning" | "warn" => LevelFilter::WARN,
        "error" | "critical" => LevelFilter::ERROR,
        "off" => LevelFilter::OFF,
        _ => return Err(format!("log level '{name}': one of trace, debug, info, warning, error, critical, off")),
    })
}
