//! Builds one program with Go. Called by [`super::Assets::get`]; a program appears whole or not at all.

use crate::error::{Error, Result, Tried as _};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Counts up when the way of building changes, so that old programs are not taken for new ones.
pub const FLAGS_VERSION: u32 = 1;

const SAY_EVERY: Duration = Duration::from_secs(20);

/// Keeps two runs from building the same thing at once.
pub struct Lock(File);

impl Lock {
    /// Waits until this run alone builds into `target`.
    pub fn take(target: &Path, say: &mut dyn FnMut(&str)) -> Result<Self> {
        std::fs::create_dir_all(target).tried(|| format!("cannot make {}", target.display()))?;
        let path = target.join(".lock");
        let file = File::create(&path).tried(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            say("another run is building; waiting for it");
            file.lock().tried(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing unlocks as well.
        let _ = self.0.unlock();
    }
}

/// Builds `package` of the module in `module` to the file `target`.
pub fn program(module: &Path, package: &str, target: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
    let name = target.file_name().unwrap_or_default().display().to_string();
    say(&format!("building {name} {}", version(module, package)?));
    let kubernetes = version(module, "k8s.io/kubernetes")?;
    let unfinished = target.with_file_name(format!(".{name}.unfinished"));
    let mut go = Command::new("go");
    go.current_dir(module).args(["build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", &ldflags(&kubernetes), "-o"]);
    go.arg(&unfinished).arg(package).env("CGO_ENABLED", "0").env("GOWORK", "off").env("GOFLAGS", "");
    let start = Instant::now();
    run(go, &name, start, say)?;
    std::fs::rename(&unfinished, target).tried(|| format!("cannot rename to {}", target.display()))?;
    say(&format!("built {name} in {} s", start.elapsed().as_secs()));
    Ok(())
}

/// Runs Go to its end; its output, one line a package, is the progress.
fn run(mut go: Command, name: &str, start: Instant, say: &mut dyn FnMut(&str)) -> Result<()> {
    let failed = |reason: String| Error::Missing { what: name.to_owned(), reason };
    let spawned = go.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|e| {
        failed(format!("needs Go 1.26 or newer to be built (https://go.dev/dl): {e}. Or set KUBEBUILDER_ASSETS to a directory that has it"))
    })?;
    let (mut packages, mut said, mut last) = (0, start, Vec::new());
    for line in child.stderr.take().into_iter().flat_map(|e| BufReader::new(e).lines()).map_while(std::io::Result::ok) {
        packages += 1;
        if last.len() == 20 {
            last.remove(0);
        }
        last.push(line);
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            say(&format!("  {name}: {packages} packages in {} s", start.elapsed().as_secs()));
        }
    }
    let status = child.wait().tried(|| "cannot wait for go".into())?;
    if status.success() { Ok(()) } else { Err(failed(format!("go build failed:\n{}", last.join("\n")))) }
}

/// Version of the module that holds `package`, as its `go.mod` asks for it.
fn version(module: &Path, package: &str) -> Result<String> {
    let file: PathBuf = module.join("go.mod");
    let text = std::fs::read_to_string(&file).tried(|| format!("cannot read {}", file.display()))?;
    let requirements = text.lines().filter_map(|l| l.trim().trim_start_matches("require ").split_once(" v"));
    let of = requirements.filter(|(path, _)| package == *path || package.starts_with(&format!("{path}/")));
    let longest = of.max_by_key(|(path, _)| path.len());
    let version = longest.and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("0.0.0");
    Ok(format!("v{version}"))
}

/// Kubernetes' programs, and those made with its libraries, take their version from here; without it clients see none, and misbehave.
fn ldflags(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    format!("-s -w{}{}{}{}", set("gitVersion", version), set("gitMajor", major), set("gitMinor", minor), set("gitTreeState", "clean"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_the_module_asks_for() {
        let module = super::super::source("kubernetes");
        let found = version(&module, "k8s.io/kubernetes/cmd/kube-apiserver").unwrap();
        assert!(found.starts_with("v1."), "{found}");
        assert!(version(&module, "go.etcd.io/etcd/server/v3").unwrap().starts_with("v3."));
    }

    #[test]
    fn clients_are_told_major_and_minor() {
        assert!(ldflags("v1.36.3").contains("gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"));
    }
}
