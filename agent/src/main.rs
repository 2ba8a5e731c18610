//! foreshadow-agent: a table of contents. Each command is one call into the library; what it says becomes an exit code.

use clap::Parser;
use foreshadow_agent::app::{self, AppError, Ended};
use foreshadow_agent::cli::{self, Ask, Cli, Command, LogFormat, LogLevel, Orchestrate, Run, cluster};
use foreshadow_agent::config;
use foreshadow_agent::instances::LaunchError;
use foreshadow_agent::kubernetes::{command, controller, crd, inject, manifests, yaml};
use foreshadow_agent::local::{self, spec::Spec};
use foreshadow_agent::store::StoreError;
use foreshadow_agent::{ask, backtest, export, replay};
use std::io::IsTerminal;
use std::process::ExitCode;

// Snapshots, samples and records of many workloads: a quarter of a node's work was the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|defect| eprintln!("foreshadow-agent: defect: {}", defect.to_string().replace('\n', " "))));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are answers, not errors; a closed pipe behind them is nobody's problem.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { cli::USAGE } else { cli::OK });
        }
    };
    ExitCode::from(match cli.command {
        Command::Run(args) => run(&args),
        Command::Replay(args) => replay::command(&args),
        Command::Export(args) => export::command(&args),
        Command::Backtest(args) => backtest::command(&args),
        Command::Inject(args) => inject::command::command(&args),
        Command::Controller(args) => controller_command(args),
        Command::Manifests(args) => manifests::command(&args),
        Command::Crd => crd_command(),
        Command::Status(args) if of_cluster(&args) => command::status(args.workload.as_deref(), &args.cluster, args.json),
        Command::Explain(args) if of_cluster(&args) => command::explain(args.workload.as_deref(), &args.cluster, args.json),
        Command::Status(args) => ask::status(&args),
        Command::Explain(args) => ask::explain(&args),
        Command::Preflight(args) => command::preflight(&args),
        Command::Uninstall(args) => command::uninstall(&args),
        Command::Node(args) => {
            log(args.log_level, args.log_format);
            command::node(&args)
        }
        Command::Orchestrate(args) => orchestrate(&args),
    })
}

/// A workload or a cluster was named: not the embedded agent is meant.
fn of_cluster(args: &Ask) -> bool {
    args.workload.is_some() || args.cluster.is_named()
}

fn run(args: &Run) -> u8 {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(e) => return fail(&e.to_string(), cli::CONFIG),
    };
    if args.check {
        println!("{}: ok", args.config.display());
        return cli::OK;
    }
    log(args.log_level, args.log_format);
    match on_runtime(2, app::run(config)) {
        Ok(Ok(Ended::Terminated)) => cli::OK,
        Ok(Ok(Ended::Interrupted)) => cli::INTERRUPTED,
        Ok(Err(e)) => fail(&e.to_string(), code_of(&e)),
        Err(e) => fail(&format!("no runtime: {e}"), cli::INTERNAL),
    }
}

fn controller_command(args: cluster::Controller) -> u8 {
    log(args.log_level, args.log_format);
    match on_runtime(2, controller::run(args)) {
        Ok(Ok(())) => cli::OK,
        Ok(Err(e)) => fail(&e.to_string(), e.code()),
        Err(e) => fail(&format!("no runtime: {e}"), cli::INTERNAL),
    }
}

fn crd_command() -> u8 {
    match serde_json::to_value(crd::definition()) {
        Ok(value) => {
            print!("{}", yaml::write(&value));
            cli::OK
        }
        Err(e) => fail(&format!("the definition cannot be written: {e}"), cli::INTERNAL),
    }
}

fn orchestrate(args: &Orchestrate) -> u8 {
    log(LogLevel::Info, LogFormat::Text);
    let ended = Spec::load(&args.spec).map_err(Into::into).map(|spec| on_runtime(1, local::orchestrate(spec)));
    match ended {
        Ok(Ok(Ok(()))) => cli::OK,
        Ok(Ok(Err(e))) | Err(e) => fail(&e.to_string(), local::OrchestrateError::exit_code(&e)),
        Ok(Err(e)) => fail(&format!("no runtime: {e}"), cli::INTERNAL),
    }
}

/// Runs to the end; what is still blocked then gets two seconds.
fn on_runtime<F: Future>(workers: usize, task: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let ended = runtime.block_on(task);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    Ok(ended)
}

fn log(level: LogLevel, format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::new(level.name());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn fail(text: &str, code: u8) -> u8 {
    eprintln!("foreshadow-agent: {text}");
    code
}

fn code_of(error: &AppError) -> u8 {
    match error {
        AppError::Store(StoreError::Unreadable { .. } | StoreError::Record(..)) => cli::DATA,
        AppError::Launch(LaunchError::Spec(_)) => cli::CONFIG,
        AppError::Store(_) | AppError::Listen(..) | AppError::Launch(_) => cli::UNAVAILABLE,
        AppError::Internal(_) => cli::INTERNAL,
    }
}
