//! foreshadow-load: open-loop HTTP load. Command line or plan file -> run -> a line of JSON a second and a summary on standard output.

use clap::Parser;
use foreshadow_loadtests::generator::{Failure, Line, Mix, Plan, RequestTemplate, Summary, run_until};
use foreshadow_loadtests::trace::{self, Scale, Wish};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Open-loop HTTP load generator: requests leave when they are due, whatever the service does, and latency counts from that moment.
///
/// Prints one line of JSON a second and a summary with the whole latency histogram at the end.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Plan file (JSON): rate curve, request kinds, their mix over time
    #[arg(long, conflicts_with_all = ["url", "rps", "seconds", "mix"])]
    plan: Option<PathBuf>,
    /// Where to send, for example http://127.0.0.1:8080/work
    #[arg(long, required_unless_present = "plan")]
    url: Option<String>,
    /// Requests per second, one rate, or several with their seconds: 0:100,60:200 (linear between)
    #[arg(long, default_value = "10")]
    rps: String,
    /// Length in seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Replay a lively window of this trace (a time and a count a line, or a request a line; .gz too), or of `built-in`; --rps is then its mean
    #[arg(long, conflicts_with = "plan")]
    trace: Option<String>,
    /// Seconds of the trace that pass in one second
    #[arg(long, default_value_t = 60.0, requires = "trace")]
    compression: f64,
    /// Shares of request classes, sent as ?class=NAME: cheap=0.2,normal=0.7,costly=0.1
    #[arg(long)]
    mix: Option<String>,
    /// Seed of arrivals and mix; overrides the plan's
    #[arg(long)]
    seed: Option<u64>,
    /// A slower answer is bad, in milliseconds; overrides the plan's
    #[arg(long)]
    threshold_ms: Option<f64>,
    /// An answer not complete after this has failed, in milliseconds; overrides the plan's
    #[arg(long)]
    timeout_ms: Option<f64>,
    /// Requests under way at once; one more is not sent and counts as bad; overrides the plan's
    #[arg(long)]
    max_outstanding: Option<usize>,
    /// Close a connection after this many requests; overrides the plan's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_connection: Option<u32>,
    /// Print the plan instead of running it
    #[arg(long)]
    print_plan: bool,
    /// Print the summary only
    #[arg(long)]
    summary_only: bool,
}

const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const INTERNAL: u8 = 70;
const CONFIG: u8 = 78;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            // Help and version are answers, not errors; a closed pipe behind them is nobody's problem.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { USAGE } else { 0 });
        }
    };
    let plan = match plan(&args) {
        Ok(plan) => plan,
        Err((code, text)) => return fail(code, &text),
    };
    if args.print_plan {
        return match serde_json::to_string_pretty(&plan) {
            Ok(text) => print(&text),
            Err(e) => fail(INTERNAL, &e.to_string()),
        };
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(INTERNAL, &format!("no runtime: {e}")),
    };
    runtime.block_on(run(&plan, args.summary_only))
}

fn plan(args: &Args) -> Result<Plan, (u8, String)> {
    let mut plan = match &args.plan {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| (CONFIG, format!("{}: {e}", path.display())))?;
            Plan::parse(&text).map_err(|e| (CONFIG, format!("{}: {e}", path.display())))?
        }
        None => from_flags(args).map_err(|e| (USAGE, e))?,
    };
    plan.seed = args.seed.unwrap_or(plan.seed);
    plan.threshold_ms = args.threshold_ms.unwrap_or(plan.threshold_ms);
    plan.timeout_ms = args.timeout_ms.unwrap_or(plan.timeout_ms);
    plan.max_outstanding = args.max_outstanding.unwrap_or(plan.max_outstanding);
    plan.requests_per_connection = args.requests_per_connection.or(plan.requests_per_connection);
    plan.check().map_err(|e| (USAGE, e.to_string()))?;
    Ok(plan)
}

fn from_flags(args: &Args) -> Result<Plan, String> {
    let url = args.url.as_deref().unwrap_or_default();
    let mut plan = Plan::constant(url, 0.0, args.seconds).map_err(|e| e.to_string())?;
    plan.rate = match &args.trace {
        Some(trace) => replay(args, trace)?,
        None => rate(&args.rps)?,
    };
    if let Some(mix) = &args.mix {
        let shares = pairs(mix, '=').map_err(|e| format!("--mix {mix}: {e}, expected NAME=SHARE,..."))?;
        let path = plan.requests[0].path.clone();
        let joint = if path.contains('?') { '&' } else { '?' };
        plan.requests = shares.iter().map(|(name, _)| RequestTemplate::get(name, &format!("{path}{joint}class={name}"))).collect();
        plan.mix = vec![Mix { t_s: 0.0, weights: shares.into_iter().collect() }];
    }
    Ok(plan)
}

fn replay(args: &Args, name: &str) -> Result<Vec<(f64, f64)>, String> {
    let series = if name == "built-in" { trace::built_in() } else { trace::read_file(name.as_ref()) }.map_err(|e| e.to_string())?;
    let mean = args.rps.parse().map_err(|_| format!("--rps {}: with --trace one mean rate is expected", args.rps))?;
    if !(args.compression > 0.0 && args.seconds > 0.0) {
        return Err("--compression and --seconds are to be more than 0".into());
    }
    let wish = Wish { seed: args.seed.unwrap_or(0), seconds: args.seconds, compression: args.compression, scale: Scale::Mean(mean) };
    let excerpt = trace::excerpt(&series, &wish);
    if series.gaps > 0 {
        eprintln!("foreshadow-load: {name}: {} of {} buckets were missing and are interpolated", series.gaps, series.values.len());
    }
    Ok(excerpt.points)
}

fn rate(text: &str) -> Result<Vec<(f64, f64)>, String> {
    if let Ok(rps) = text.parse() {
        return Ok(vec![(0.0, rps)]);
    }
    let said = |e: String| format!("--rps {text}: {e}, expected a rate, or SECONDS:RATE,...");
    let points = pairs(text, ':').map_err(said)?;
    points.into_iter().map(|(t, rps)| Ok((t.parse().map_err(|_| said(format!("{t:?} is not a number")))?, rps))).collect()
}

fn pairs(text: &str, between: char) -> Result<Vec<(String, f64)>, String> {
    let pair = |part: &str| {
        let (name, value) = part.split_once(between).ok_or_else(|| format!("no {between} in {part:?}"))?;
        let value = value.trim().parse().map_err(|_| format!("{value:?} is not a number"))?;
        Ok((name.trim().to_string(), value))
    };
    text.split(',').map(pair).collect()
}

async fn run(plan: &Plan, summary_only: bool) -> ExitCode {
    let (mut term, mut int) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(int)) => (term, int),
        (Err(e), _) | (_, Err(e)) => return fail(INTERNAL, &format!("no signals: {e}")),
    };
    let stop = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    };
    let say = |line: &Line| serde_json::to_string(line).map(|text| print(&text));
    let tell = |second| {
        if !summary_only {
            // Nobody reads any more: the load goes on, it is the service that matters.
            let _ = say(&Line::Second(second));
        }
    };
    match run_until(plan, tell, stop).await {
        Ok(summary) => {
            let code = code(&summary);
            let _ = say(&Line::Summary(summary));
            ExitCode::from(code)
        }
        Err(e) => fail(CONFIG, &e.to_string()),
    }
}

fn code(summary: &Summary) -> u8 {
    let unreachable = summary.failed.get(&Failure::Connect).copied().unwrap_or(0);
    match summary {
        s if s.interrupted => INTERRUPTED,
        s if s.sent > 0 && unreachable == s.sent => UNAVAILABLE,
        _ => 0,
    }
}

fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(INTERNAL),
    }
}

fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("foreshadow-load: {text}");
    ExitCode::from(code)
}
