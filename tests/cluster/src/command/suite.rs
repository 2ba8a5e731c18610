//! Builds a suite with cargo, runs it here or in an enclosure, shows its output as it comes, and counts.

use super::report::Outcome;
use super::signals;
use crate::error::{Error, Result, Tried as _};
use crate::guard::MARK;
use crate::node::enclosure::Enclosure;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Name of the environment variable that tells a suite where the product's programs are.
const PROGRAMS: &str = "FORESHADOW_TEST_PROGRAMS";

/// A suite of this crate.
pub struct Suite<'a> {
    /// How cargo builds it.
    pub build: &'static [&'static str],
    /// Its target's name in `Cargo.toml`.
    pub name: &'static str,
    /// With the release profile.
    pub release: bool,
    /// Only tests whose name contains this.
    pub filter: Option<&'a str>,
    /// The run's directory, the mark of everything that it starts.
    pub mark: &'a Path,
}

impl Suite<'_> {
    /// Runs it as a child; on the cluster of `kubeconfig`, else on what the suite starts itself.
    pub fn run(&self, kubeconfig: Option<&Path>) -> Result<Outcome> {
        self.run_with(kubeconfig, None)
    }

    /// The same, told where the product's programs are.
    pub fn run_with(&self, kubeconfig: Option<&Path>, programs: Option<&Path>) -> Result<Outcome> {
        let mut command = Command::new(self.program()?);
        command.args(self.filter).current_dir(env!("CARGO_MANIFEST_DIR")).env(MARK, self.mark);
        // A test that would be skipped for want of a program is a failure here: the programs were just made sure of.
        command.env("CI", "true").stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(file) = kubeconfig {
            let file = file.canonicalize().tried(|| format!("cannot read {}", file.display()))?;
            command.env("FORESHADOW_TEST_KUBECONFIG", file);
        }
        command.envs(programs.map(|dir| (PROGRAMS, dir)));
        let mut child = command.spawn().tried(|| format!("cannot start the suite {}", self.name))?;
        counted(&mut child)
    }

    /// Runs it as the program inside an enclosure, with the image archives in `images` and the product's programs in `programs`.
    pub fn run_enclosed(&self, images: &Path, programs: &Path, keep: bool) -> Result<Outcome> {
        let arguments: Vec<String> = self.filter.map(str::to_owned).into_iter().chain(keep.then(|| "--keep".into())).collect();
        let path = |path: &Path| path.as_os_str().to_owned();
        let variables = [("CI", "true".into()), ("FORESHADOW_TEST_IMAGES", path(images)), (PROGRAMS, path(programs))];
        let mut enclosure = Enclosure::start(&self.program()?, &arguments, &variables)?;
        if !keep {
            return counted(enclosure.child());
        }
        let outcome = show(enclosure.child(), true);
        let kubeconfig = enclosure.dir().join("admin.kubeconfig");
        let inside = format!("nsenter --target {} --mount --net --pid", enclosure.first().unwrap_or_default());
        println!("{}\nThe node stays until Ctrl-C; a shell inside, with kubectl:", outcome.closing_line());
        println!("  {inside} env KUBECONFIG={} PATH={}:$PATH sh", kubeconfig.display(), crate::assets::cache().display());
        signals::wait()
    }

    /// Builds the suite's program; its path.
    fn program(&self) -> Result<PathBuf> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(self.build).arg(self.name).args(["--message-format", "json-render-diagnostics"]);
        cargo.args(self.release.then_some("--release"));
        cargo.env(MARK, self.mark).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = cargo.output().tried(|| "cannot start cargo".into())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let program = messages.filter(|m| m["target"]["name"] == self.name).find_map(|m| m["executable"].as_str().map(PathBuf::from));
        program.filter(|_| output.status.success()).ok_or_else(|| Error::Missing {
            what: format!("the suite {}", self.name),
            reason: format!("it does not build ({})", output.status),
        })
    }
}

/// Runs a child to its end.
fn counted(child: &mut Child) -> Result<Outcome> {
    let mut outcome = show(child, false);
    let status = child.wait().tried(|| "cannot wait for the suite".into())?;
    outcome.broken = !status.success();
    Ok(outcome)
}

/// Shows what a child prints, to its end; or counts to its closing line only, and goes on showing beside: it must not find its output closed.
fn show(child: &mut Child, to_closing_line: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(output) = child.stdout.take() else { return outcome };
    let mut lines = BufReader::new(output).lines().map_while(std::io::Result::ok);
    for line in lines.by_ref() {
        println!("{line}");
        outcome.read(&line);
        if to_closing_line && line.starts_with("test result:") {
            std::thread::spawn(move || lines.for_each(|line| println!("{line}")));
            break;
        }
    }
    outcome
}
