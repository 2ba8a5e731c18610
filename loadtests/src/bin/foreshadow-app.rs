//! foreshadow-app: one replica of the sample application. Command line -> settings -> serve -> exit code.

use clap::Parser;
use foreshadow_loadtests::app::server::Ended;
use foreshadow_loadtests::app::settings::{OUT_OF_MEMORY, workers};
use foreshadow_loadtests::app::{Settings, serve};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Sample HTTP application with a real bottleneck (a worker pool) and faults that can be switched while it runs.
///
/// GET /work[?class=cheap|normal|costly] does work; /healthz says 503 until started; /stats tells the pool, the queue and the counts;
/// POST /faults sets faults, DELETE /faults ends them.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Port to listen on; 0 takes a free one, which is then printed
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Workers per core of the processor limit; the pool is this times the limit, rounded up
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    workers_per_core: f64,
    /// Processor limit in thousandths of a core, as the orchestrator tells it
    #[arg(long, env = "CPU_LIMIT_MILLIS", default_value_t = 400)]
    cpu_limit_millis: u32,
    /// Memory limit in bytes: reaching it ends the process with code 137; without it memory is not limited
    #[arg(long, env = "MEMORY_LIMIT_BYTES")]
    memory_limit_bytes: Option<u64>,
    /// Requests that may wait for a worker; one more is answered 503
    #[arg(long, default_value_t = Settings::default().queue)]
    queue: usize,
    /// Mean I/O wait of a normal request, in milliseconds
    #[arg(long, default_value_t = Settings::default().io.as_secs_f64() * 1e3, value_parser = not_negative)]
    io_ms: f64,
    /// Processor time of a normal request, in milliseconds
    #[arg(long, default_value_t = Settings::default().cpu.as_secs_f64() * 1e3, value_parser = not_negative)]
    cpu_ms: f64,
    /// Memory that a normal request touches and holds, in KiB
    #[arg(long, default_value_t = Settings::default().request_bytes >> 10)]
    request_kib: usize,
    /// Length of an answer in bytes
    #[arg(long, default_value_t = Settings::default().answer_bytes)]
    answer_bytes: usize,
    /// Seconds from the start until it is ready
    #[arg(long, default_value_t = 0.0, value_parser = not_negative)]
    start_delay: f64,
    /// JSON file of faults, followed while running; a missing file means none
    #[arg(long, env = "FAULTS_FILE")]
    faults_file: Option<PathBuf>,
    /// Seconds that requests under way may take after SIGTERM
    #[arg(long, default_value_t = 30.0, value_parser = not_negative)]
    drain: f64,
    /// Seed of the service times; by default the process id
    #[arg(long)]
    seed: Option<u64>,
}

fn not_negative(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    if (0.0..1e6).contains(&value) { Ok(value) } else { Err("expected 0 to 1000000".into()) }
}

fn positive(text: &str) -> Result<f64, String> {
    not_negative(text).and_then(|v| if v > 0.0 { Ok(v) } else { Err("expected more than 0".into()) })
}

impl Args {
    fn settings(&self) -> Settings {
        Settings {
            workers: workers(self.workers_per_core, self.cpu_limit_millis),
            queue: self.queue,
            io: Duration::from_secs_f64(self.io_ms / 1e3),
            cpu: Duration::from_secs_f64(self.cpu_ms / 1e3),
            cpu_threads: self.cpu_limit_millis.div_ceil(1_000).max(1) as usize,
            request_bytes: self.request_kib << 10,
            answer_bytes: self.answer_bytes,
            start_delay: Duration::from_secs_f64(self.start_delay),
            memory_limit: self.memory_limit_bytes,
            seed: self.seed.unwrap_or_else(|| u64::from(std::process::id())),
        }
    }
}

const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const INTERNAL: u8 = 70;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            // Help and version are answers, not errors; a closed pipe behind them is nobody's problem.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { USAGE } else { 0 });
        }
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(INTERNAL, &format!("no runtime: {e}")),
    };
    let code = runtime.block_on(run(&args));
    // A burn still under way has nobody left to wait for it.
    runtime.shutdown_background();
    code
}

async fn run(args: &Args) -> ExitCode {
    let listener = match TcpListener::bind((args.host, args.port)).await {
        Ok(listener) => listener,
        Err(e) => return fail(UNAVAILABLE, &format!("cannot listen on {}:{}: {e}", args.host, args.port)),
    };
    let settings = args.settings();
    if let Ok(address) = listener.local_addr() {
        println!("listening on {address}, {} workers", settings.workers);
    }
    let (mut term, mut int) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(int)) => (term, int),
        (Err(e), _) | (_, Err(e)) => return fail(INTERNAL, &format!("no signals: {e}")),
    };
    let stop = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    };
    match serve(settings, args.faults_file.clone(), listener, stop, Duration::from_secs_f64(args.drain)).await {
        Ok(Ended::Finished) => ExitCode::SUCCESS,
        Ok(Ended::CutOff) => fail(0, "requests were still under way when the drain time ended"),
        Ok(Ended::OutOfMemory) => fail(OUT_OF_MEMORY, "out of memory: the resident size reached the limit"),
        Err(e) => fail(INTERNAL, &e.to_string()),
    }
}

fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("foreshadow-app: {text}");
    ExitCode::from(code)
}
