//! The demo from its command line to its result.
//!
//! Called by the `demo` binary. Reads as: check everything that can be checked, build, (calibrate,) run the arms, judge, write, clean up.
//! Promises: whatever happens after the first process was started, every one is ended, and what was finished is written.

use crate::demo::args::Args;
use crate::demo::arm::{self, Order};
use crate::demo::binaries::Binaries;
use crate::demo::calibrate;
use crate::demo::error::Error;
use crate::demo::fleet::Fleet;
use crate::demo::judge;
use crate::demo::reactive::Request;
use crate::demo::schedule::{Kind, Schedule, Spec, schedule};
use crate::demo::setup::Setup;
use crate::demo::target::Target;
use crate::demo::ui::Ui;
use crate::report::document::{self, Document, Objective};
use crate::report::{page, table};
use crate::trace::{self, Series};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// What a run owns: ended and written whatever happens.
#[derive(Debug)]
struct Session {
    fleet: Fleet,
    doc: Document,
    dir: PathBuf,
    page: PathBuf,
}

/// What the command line asks for, checked.
#[derive(Debug)]
struct Wish {
    kinds: Vec<Kind>,
    path: String,
    trace: Series,
}

/// Runs the demo; the error carries the exit code.
pub async fn run(args: &Args) -> Result<(), Error> {
    let wish = check(args)?;
    let ui = Ui::new();
    let mut session = Session { fleet: Fleet::new(), doc: Document::default(), dir: directory()?, page: PathBuf::new() };
    let outcome = tokio::select! {
        outcome = work(args, &wish, &mut session, &ui) => outcome,
        stopped = stop() => stopped,
    };
    let killed = session.fleet.end().await;
    if outcome.is_ok() && !killed.is_empty() {
        session.doc.notes.push(format!("had to be killed at the end: {}", killed.join("; ")));
    }
    let written = if session.doc.arms.is_empty() { Ok(()) } else { write(args, &mut session, &ui, outcome.is_ok()) };
    let keep = args.keep || matches!(outcome, Err(Error::Failed(_)));
    match keep {
        true => ui.line(&format!("configuration, logs and history are kept in {}", session.dir.display())),
        false => std::fs::remove_dir_all(&session.dir).map_err(|e| Error::failed(&format!("removing {}", session.dir.display()), e))?,
    }
    outcome.and(written)
}

/// Everything that can be refused before anything is started.
fn check(args: &Args) -> Result<Wish, Error> {
    let kinds = args.kinds().map_err(Error::Usage)?;
    let path = args.path().map_err(Error::Usage)?.to_string();
    if args.app.as_deref().is_some_and(|command| !command.contains("PORT")) {
        return Err(Error::Usage("--app: the command must listen on $PORT, and does not mention it; quote it so that the shell leaves $PORT alone: --app 'server --port $PORT'".into()));
    }
    for file in [&args.json, &args.html].into_iter().flatten() {
        let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !parent.is_dir() {
            return Err(Error::Usage(format!("{}: there is no directory {}", file.display(), parent.display())));
        }
    }
    let trace = match &args.load {
        Some(file) => trace::read_file(file).map_err(|e| Error::Usage(format!("--load: {e}")))?,
        None => trace::built_in().map_err(|e| Error::failed("the built-in load", e))?,
    };
    Ok(Wish { kinds, path, trace })
}

async fn stop() -> Result<(), Error> {
    let handler = |kind| signal(kind).map_err(|e| Error::failed("listening for signals", e));
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Err(Error::Stopped),
        _ = terminate.recv() => Err(Error::Stopped),
    }
}

async fn work(args: &Args, wish: &Wish, session: &mut Session, ui: &Ui) -> Result<(), Error> {
    let phase = ui.phase("build");
    let binaries = Binaries::prepare(&phase).await?;
    phase.done("ready");
    session.page = args.html.clone().unwrap_or_else(|| binaries.page());
    let target = target(args, wish, &binaries, session, ui).await?;
    let spec = Spec { seed: args.seed, seconds: args.seconds(), mean_rps: target.mean_rps, shape: &wish.trace.values, kinds: &wish.kinds };
    let plan = schedule(&spec);
    describe(args, wish, &target, &plan, &mut session.doc);
    let mut request = target.request(plan.rps.first().copied().unwrap_or_default());
    for name in args.arms() {
        let order = order(name, args, &target, request, &plan, &binaries, &session.dir)?;
        let mut arm = arm::run(&order, &mut session.fleet, ui).await?;
        let killed = session.fleet.end().await;
        if !killed.is_empty() {
            arm.notes.push(format!("had to be killed at the end: {}", killed.join("; ")));
        }
        // Both arms' scalers are told the same.
        request = Request::Known(arm.request_cores);
        session.doc.target.cpu_cores = arm.request_cores;
        judge::judge_arm(&mut arm, &session.doc.objective, &plan.faults);
        ui.line(&format!("{name}: {} of {} requests bad, {:.0} s beyond the objective", arm.bad, arm.requests, arm.violation_seconds));
        session.doc.arms.push(arm);
    }
    Ok(())
}

/// The sample application, or what calibration found about another.
async fn target(args: &Args, wish: &Wish, binaries: &Binaries, session: &mut Session, ui: &Ui) -> Result<Target, Error> {
    let Some(command) = &args.app else { return Ok(Target::sample(binaries, &wish.path)) };
    let foreign = Target::foreign(command, &wish.path);
    let setup = Setup {
        replicas: 1,
        min_replicas: 1,
        max_replicas: 1,
        ..foreign.setup(false, session.dir.join("calibrate"), free_port()?, args.seed, 0.0)
    };
    let found = calibrate::calibrate(&setup, binaries, &mut session.fleet, ui).await?;
    session.fleet.end().await;
    ui.line(&found.how);
    Ok(foreign.calibrated(found))
}

fn describe(args: &Args, wish: &Wish, target: &Target, plan: &Schedule, doc: &mut Document) {
    *doc = Document {
        seed: args.seed,
        load: wish.trace.name.clone(),
        target: document::Target {
            command: target.command.clone(),
            path: target.path.clone(),
            cpu_cores: target.request_cores,
            how: target.how.clone(),
        },
        objective: Objective { threshold_ms: target.threshold_ms, target_ratio: target.target_ratio },
        seconds: f64::from(args.seconds()),
        planned_rps: plan.rps.clone(),
        faults: plan.faults.clone(),
        reactive: target.reactive(),
        ..Document::default()
    };
}

fn order<'a>(
    name: &'static str,
    args: &Args,
    target: &Target,
    request: Request,
    plan: &'a Schedule,
    binaries: &'a Binaries,
    dir: &Path,
) -> Result<Order<'a>, Error> {
    let dir = dir.join(name);
    let faults_file = target.ours.then(|| dir.join("faults.json"));
    let first_rps = plan.rps.first().copied().unwrap_or_default();
    let mut setup = target.setup(name == "foreshadow", dir, free_port()?, args.seed, first_rps);
    if let Some(file) = &faults_file {
        setup.command = format!("{} --faults-file {}", setup.command, shell_word(&file.to_string_lossy()));
    }
    let reactive = target.reactive();
    Ok(Order { name, setup, schedule: plan, warmup_s: target.warmup_s, reactive, request, binaries, faults_file, seed: args.seed })
}

/// The text as one word of a shell command.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The live page's usual port when it is free, else any that is.
fn free_port() -> Result<u16, Error> {
    let usual = TcpListener::bind(("127.0.0.1", 18_080));
    let found = usual.or_else(|_| TcpListener::bind(("127.0.0.1", 0))).and_then(|l| l.local_addr());
    found.map(|a| a.port()).map_err(|e| Error::failed("finding a free port", e))
}

/// A directory of this run's own, for its owner only.
fn directory() -> Result<PathBuf, Error> {
    use std::os::unix::fs::DirBuilderExt;
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    let dir = std::env::temp_dir().join(format!("foreshadow-demo-{}-{nanos:x}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|e| Error::failed(&format!("creating {}", dir.display()), e))?;
    Ok(dir)
}

/// Judges what there is and writes it: JSON, page, table.
fn write(args: &Args, session: &mut Session, ui: &Ui, complete: bool) -> Result<(), Error> {
    let doc = &mut session.doc;
    doc.complete = complete;
    judge::compare(doc);
    doc.copies = doc.arms.iter().fold(document::Copies::default(), |mut sum, arm| {
        sum.add(&arm.copies);
        sum
    });
    print!("\n{}", table::text(doc));
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(doc).map_err(|e| Error::failed("writing the JSON", e))?;
        save(file, &(text + "\n"))?;
        ui.line(&format!("figures: {}", file.display()));
    }
    save(&session.page, &page::html(doc))?;
    ui.line(&format!("report: {}", session.page.display()));
    Ok(())
}

fn save(file: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(file, text).map_err(|e| Error::failed(&format!("writing {}", file.display()), e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Fatal as _;
    use clap::Parser;

    fn refused(line: &[&str]) -> String {
        let args = Args::try_parse_from(std::iter::once(&"demo").chain(line)).unwrap();
        let error = check(&args).unwrap_err();
        assert_eq!(error.exit_code(), 64);
        error.to_string()
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_before_anything_is_started() {
        assert!(refused(&["--app", "server --port 80"]).contains("must listen on $PORT"));
        assert!(refused(&["--json", "/nowhere/at/all.json"]).contains("there is no directory"));
        assert!(refused(&["--load", "/nowhere.csv"]).contains("/nowhere.csv"));
        assert!(refused(&["--faults", "leak,earthquake"]).contains("no fault \"earthquake\""));
        assert!(refused(&["--path", "work"]).contains("begins with /"));
    }

    #[test]
    fn directories_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = directory().unwrap();
        assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::remove_dir(&dir).unwrap();
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(shell_word("/tmp/it's"), r"'/tmp/it'\''s'");
    }
}
