//! `cargo fuzz-proxy`: builds the fuzz targets with coverage, on the stable compiler, and runs them one after the other.

use clap::{Parser, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// LLVM's coverage for libFuzzer, as passes: they need no nightly compiler.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs the fuzz targets of the proxy.
///
/// What is found is kept in the target directory's fuzz/found, what was learned in its fuzz/corpus. Exit codes: 0 nothing found, 1 something
/// found, 64 usage, 70 a target does not build.
#[derive(Debug, Parser)]
#[command(name = "fuzz-proxy", version)]
struct Args {
    /// Seconds for each target
    #[arg(long, default_value_t = 600, value_name = "N")]
    seconds: u32,
    /// Only this target (may be given more than once)
    #[arg(long, value_enum)]
    target: Vec<Target>,
}

/// A target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Configuration text
    Config,
    /// Paths: matched, rewritten, normalised
    Path,
    /// Headers: trust rules, hop-by-hop, rewrites
    Headers,
    /// HTTP framing through a connection
    Framing,
}

impl Target {
    const ALL: [Self; 4] = [Self::Config, Self::Path, Self::Headers, Self::Framing];

    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Path => "path",
            Self::Headers => "headers",
            Self::Framing => "framing",
        }
    }

    fn program(self) -> String {
        format!("fuzz-{}", self.name())
    }

    /// What libFuzzer starts from.
    fn seeds(self, root: &Path) -> Vec<Vec<u8>> {
        match self {
            Self::Config => files(&root.join("config")),
            Self::Path => ["/a/1?b=c", "/one/../two//x%2Fy", "http://h:80/pre/x", "http://h?b", "/a/%%32%65/b", "*"]
                .map(|s| s.as_bytes().to_vec())
                .into(),
            Self::Headers => {
                vec![b"connection:close, x-a\nx-a:1\nx-forwarded-for:1.2.3.4, 5.6.7.8\nte:trailers\nx-envoy-retry-on:5xx".to_vec()]
            }
            Self::Framing => [
                &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
                b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
                b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\nGET / HTTP/1.0\r\n\r\n",
                b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, x-a\r\nupgrade: websocket\r\nexpect: 100-continue\r\n\r\n",
                // A connection's first words, SETTINGS; GET / on stream 1 in HPACK's static table; POST on stream 3 with a body of three bytes.
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a\
                  \0\0\x06\x01\x04\0\0\0\x03\x83\x86\x84\x41\x01a\0\0\x03\0\x01\0\0\0\x03abc",
            ]
            .map(<[u8]>::to_vec)
            .into(),
        }
    }
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|e| std::fs::read(e.path()).ok()).collect()
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nowhere to print to is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(70)
        }
    }
}

/// How many targets found something.
fn run(args: &Args) -> Result<usize, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("fuzz");
    build(&root, &target)?;
    let targets = if args.target.is_empty() { Target::ALL.to_vec() } else { args.target.clone() };
    let mut found = 0;
    for one in targets {
        let well = fuzz(one, args.seconds, &root, &target).map_err(|e| format!("{}: {e}", one.name()))?;
        println!("{}: {}", one.name(), if well { "nothing found" } else { "SOMETHING FOUND" });
        found += usize::from(!well);
    }
    Ok(found)
}

fn build(root: &Path, target: &Path) -> Result<(), String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--profile", "fuzz", "-p", "foreshadow-fuzz", "--features", "targets", "--target-dir"]).arg(target);
    command.args(Target::ALL.iter().flat_map(|one| ["--bin".into(), one.program()]));
    // A target of its own, so that build scripts and macros are not built with coverage.
    command.args(["--target", &host()?]).current_dir(root).env("RUSTFLAGS", FLAGS);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the targets do not build ({status})")),
        Err(error) => Err(format!("cargo: {error}")),
    }
}

/// The host's target triple.
fn host() -> Result<String, String> {
    let said = Command::new("rustc").arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    text.lines().find_map(|l| l.strip_prefix("host: ")).map(str::to_owned).ok_or_else(|| "rustc does not name its host".into())
}

/// Whether a target ran without a finding.
fn fuzz(one: Target, seconds: u32, root: &Path, target: &Path) -> std::io::Result<bool> {
    let (corpus, found) = (target.join("corpus").join(one.name()), target.join("found"));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&found)?;
    for (nth, seed) in one.seeds(root).into_iter().enumerate() {
        std::fs::write(corpus.join(format!("seed-{nth}")), seed)?;
    }
    let triple = host().map_err(std::io::Error::other)?;
    let mut command = Command::new(target.join(triple).join("fuzz").join(format!("fuzz-{}", one.name())));
    command.arg(&corpus).arg(format!("-artifact_prefix={}/{}-", found.display(), one.name())).current_dir(target);
    command.args([format!("-max_total_time={seconds}"), "-timeout=60".into(), "-rss_limit_mb=4096".into(), "-max_len=16384".into()]);
    command.args(["-verbosity=0", "-print_funcs=0", "-print_final_stats=1"]);
    Ok(command.status()?.success())
}
