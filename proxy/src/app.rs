//! From arguments to the end: load, validate or serve, drain.

use crate::admin;
use crate::args::{Args, Mode, Task};
use crate::config::{self, Source};
use crate::control::{Control, Life};
use crate::discovery;
use crate::health::keeper;
use crate::init::error::InitError;
use crate::init::{self, options};
use crate::telemetry::log;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How the program ends: sysexits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All well.
    Ok,
    /// 64: the command line is wrong.
    Usage,
    /// 69: an address cannot be bound, a thread not started.
    Unavailable,
    /// 78: the configuration is wrong.
    Config,
    /// 130: a second SIGINT cut the drain short.
    Interrupted,
    /// 143: a second SIGTERM cut the drain short.
    Terminated,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Config => 78,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        })
    }
}

/// Runs the program.
pub fn run(args: Args) -> Exit {
    if let Some(Task::Init(options)) = &args.command {
        return redirect(options);
    }
    if args.config_path.is_none() && args.config_yaml.is_none() {
        eprintln!("error: at least one of --config-path (-c) and --config-yaml is needed\n\nFor more information, try '--help'.");
        return Exit::Usage;
    }
    let source = Source { path: args.config_path.clone(), inline: args.config_yaml.clone(), service_cluster: args.service_cluster.clone() };
    let config = match config::load(&source) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Config;
        }
    };
    if args.mode == Mode::Validate {
        println!("configuration '{}' OK", args.config_path.as_deref().map_or("".into(), |p| p.display().to_string()));
        return Exit::Ok;
    }
    let log = match log::start(&args) {
        Ok(log) => log,
        Err(why) => {
            eprintln!("error: {why}");
            return Exit::Usage;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return Exit::Unavailable;
        }
    };
    match runtime.block_on(serve(&args, source, config, log)) {
        Ok(exit) => exit,
        Err(why) => {
            eprintln!("error: {why}");
            Exit::Unavailable
        }
    }
}

fn redirect(options: &options::Options) -> Exit {
    match init::run(options) {
        Ok(said) => {
            print!("{said}");
            Exit::Ok
        }
        Err(why) => {
            eprintln!("error: {why}");
            if matches!(why, InitError::Usage(_)) { Exit::Usage } else { Exit::Unavailable }
        }
    }
}

async fn serve(args: &Args, source: Source, config: config::model::Config, log: log::Handle) -> Result<Exit, String> {
    let workers = args.concurrency.filter(|n| *n > 0).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let proxy_id = args.service_node.clone().unwrap_or_else(|| format!("{}:{}", host_name(), std::process::id()));
    let admin_address = config.admin;
    let found = discovery::dns::first_lookups(&config).await;
    let control = Arc::new(Control::start(source, config, workers, proxy_id)?);
    found.into_iter().for_each(|(cluster, endpoints)| control.set_endpoints(&cluster, endpoints));
    let grace = Duration::from_secs(args.drain_time_s);
    let (quit, mut asked) = tokio::sync::mpsc::channel(1);
    if let Some(address) = admin_address {
        let bound = admin::start(address, admin::Shared { control: control.clone(), log, grace, quit }).await?;
        tracing::info!(address = %bound, "admin endpoints");
        if let Some(path) = &args.admin_address_path {
            std::fs::write(path, bound.to_string()).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    tokio::spawn(keeper::run(control.clone()));
    tokio::spawn(discovery::watch(control.clone(), args.config_path.clone()));
    let cannot = |e: std::io::Error| format!("signals cannot be heard: {e}");
    let (mut term, mut int) = (signal(SignalKind::terminate()).map_err(cannot)?, signal(SignalKind::interrupt()).map_err(cannot)?);
    let mut hup = signal(SignalKind::hangup()).map_err(cannot)?;
    let mut usr1 = signal(SignalKind::user_defined1()).map_err(cannot)?;
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            Some(()) = asked.recv() => break,
            _ = hup.recv() => { control.reload(); }
            _ = usr1.recv() => control.reopen_logs(),
        }
    }
    if args.linger_time_s > 0 {
        tracing::info!(seconds = args.linger_time_s, "serving on before the drain; another signal cuts this short");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.linger_time_s)) => {}
            _ = term.recv() => {}
            _ = int.recv() => {}
            Some(()) = asked.recv() => {}
        }
    }
    tracing::info!(seconds = args.drain_time_s, "draining; a second signal ends at once");
    if *control.life().borrow() != Life::Draining {
        control.drain(grace);
    }
    let drained = async {
        while !control.is_over() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let exit = tokio::select! {
        () = drained => Exit::Ok,
        _ = term.recv() => Exit::Terminated,
        _ = int.recv() => Exit::Interrupted,
    };
    control.finish_logs();
    match exit {
        Exit::Ok => tracing::info!("drained"),
        _ => tracing::warn!("ended by a second signal"),
    }
    Ok(exit)
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "localhost".into(), |n| n.trim().to_owned())
}
