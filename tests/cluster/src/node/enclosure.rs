//! The outside of a node: namespaces made with `unshare`, a directory, a control group's name, and their end.

use crate::error::{Result, Tried as _};
use crate::guard::{Guard, MARK};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Name of the environment variable that tells the inside its directory.
pub const DIR: &str = "FORESHADOW_NODE_DIR";
/// Name of the environment variable that tells the inside its control group.
pub const GROUP: &str = "FORESHADOW_NODE_GROUP";

/// As the first process of a pid namespace, a shell reaps what orphans leave; with its end the kernel ends everything in the namespace.
const FIRST: &str = r#""$@" & wait $!"#;

/// Namespaces with a program inside. Dropping it ends everything in them and removes directory and control groups.
#[derive(Debug)]
pub struct Enclosure {
    child: Child,
    // Before the directory: it removes that as well, and the control groups, once nothing runs there.
    _guard: Guard,
    dir: TempDir,
}

impl Enclosure {
    /// Runs `program` in new mount, network and pid namespaces, its standard output piped to the caller. Needs root.
    pub fn start(program: &Path, arguments: &[String], variables: &[(&str, OsString)]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("foreshadow-node-").tempdir().tried(|| "cannot make a temporary directory".into())?;
        let group = dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        make_group(&group)?;
        let guard = Guard::start_with_group(dir.path(), &group)?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--", "sh", "-c", FIRST, "node"]);
        // Temporary files of the inside go with it.
        let temporary = dir.path().join("tmp");
        std::fs::create_dir_all(&temporary).tried(|| format!("cannot make {}", temporary.display()))?;
        unshare.env("TMPDIR", temporary);
        unshare
            .arg(program)
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env(MARK, dir.path())
            .env(DIR, dir.path())
            .env(GROUP, &group);
        let child = unshare.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().tried(|| "cannot start unshare (util-linux)".into())?;
        Ok(Self { child, _guard: guard, dir })
    }

    /// The process outside; its output and its end are the program's.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Process id of the first process inside, as seen from here: what `nsenter --target` wants.
    pub fn first(&self) -> Option<u32> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Where kubeconfig and logs are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        // unshare takes the first process inside with it, and that one everything else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the control group in every hierarchy.
fn make_group(name: &str) -> Result<()> {
    for root in hierarchies() {
        let group = root.join(name);
        std::fs::create_dir_all(&group).tried(|| format!("cannot make a control group in {}", root.display()))?;
        // v1: a new group has no processors and no memory, and so can hold no process, until it is told.
        for file in ["cpuset.cpus", "cpuset.mems"].map(Path::new).iter().filter(|f| root.ends_with("cpuset") && root.join(f).exists()) {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            std::fs::write(group.join(file), text.trim()).tried(|| format!("cannot write {}", group.join(file).display()))?;
        }
    }
    Ok(())
}

/// Roots of the control group hierarchies that the kubelet manages here: one of v2, or the several of v1.
fn hierarchies() -> Vec<PathBuf> {
    const CONTROLLERS: [&str; 7] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb"];
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.into()];
    }
    CONTROLLERS.iter().chain(&["systemd", "devices", "freezer", "unified"]).map(|c| root.join(c)).filter(|p| p.is_dir()).collect()
}
