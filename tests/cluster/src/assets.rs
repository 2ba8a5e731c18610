//! The programs of Kubernetes: found, or built once from the Go module proxy into a cache outside of any clone.
//!
//! Two small Go modules name what is wanted and fix every version by checksum: `kubernetes/` (API server and everything that shares its
//! packages) and `node/` (container runtime and network plugins). The cache is `FORESHADOW_CLUSTER_CACHE`, else
//! `${XDG_CACHE_HOME:-~/.cache}/foreshadow-cluster`; a changed `go.mod` builds into a new directory beside the old one.

mod build;

use crate::error::{Error, Result};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

/// One Go module of this crate and what is built from it.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Directory beside this crate's `Cargo.toml`.
    pub module: &'static str,
    /// Program names and the Go packages that they are built from.
    pub programs: &'static [(&'static str, &'static str)],
}

/// What the API suite runs on.
pub const CONTROL_PLANE: Recipe = Recipe {
    module: "kubernetes",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3"), ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")],
};

/// What makes pods of Deployments and places them.
pub const CONTROLLERS: Recipe = Recipe {
    module: "kubernetes",
    programs: &[
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ],
};

/// What a node needs besides.
pub const NODE: Recipe = Recipe {
    module: "kubernetes",
    programs: &[
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("coredns", "./coredns"),
    ],
};

/// Resource metrics, for the HPA. A module of its own: it needs other versions of what Kubernetes is made of.
pub const METRICS: Recipe = Recipe { module: "metrics", programs: &[("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server")] };

/// Simulated nodes: whatever is placed on them runs in words only. A module of its own, as for metrics.
pub const SIMULATION: Recipe = Recipe { module: "kwok", programs: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")] };

/// The container runtime and its network plugins.
pub const RUNTIME: Recipe = Recipe {
    module: "node",
    programs: &[
        ("containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
        ("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
        ("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
        ("ptp", "github.com/containernetworking/plugins/plugins/main/ptp"),
        ("loopback", "github.com/containernetworking/plugins/plugins/main/loopback"),
        ("host-local", "github.com/containernetworking/plugins/plugins/ipam/host-local"),
        ("portmap", "github.com/containernetworking/plugins/plugins/meta/portmap"),
        ("bandwidth", "github.com/containernetworking/plugins/plugins/meta/bandwidth"),
    ],
};

/// Directories that hold programs.
#[derive(Debug, Clone)]
pub struct Assets {
    dirs: Vec<PathBuf>,
}

impl Assets {
    /// Where programs may be: `KUBEBUILDER_ASSETS` first, then the cache.
    pub fn find() -> Result<Self> {
        let mut dirs: Vec<PathBuf> = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from).into_iter().collect();
        for module in ["kubernetes", "node", "metrics", "kwok"] {
            dirs.push(directory(module)?);
        }
        Ok(Self { dirs })
    }

    /// Path of a program.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let found = self.dirs.iter().map(|d| d.join(name)).find(|p| p.is_file());
        found.ok_or_else(|| Error::Missing {
            what: name.into(),
            reason: format!("neither in KUBEBUILDER_ASSETS nor in {}; `cargo test-cluster` builds it", cache().display()),
        })
    }

    /// Whether all programs of a recipe are there.
    pub fn has(&self, recipe: Recipe) -> bool {
        recipe.programs.iter().all(|(name, _)| self.program(name).is_ok())
    }

    /// Builds what is missing of a recipe. `say` gets lines of progress.
    pub fn get(&self, recipe: Recipe, say: &mut dyn FnMut(&str)) -> Result<()> {
        let missing: Vec<_> = recipe.programs.iter().filter(|(name, _)| self.program(name).is_err()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let target = directory(recipe.module)?;
        let lock = build::Lock::take(&target, say)?;
        for (name, package) in missing {
            // Another run may have built it while this one waited for the lock.
            if !target.join(name).is_file() {
                build::program(&source(recipe.module), package, &target.join(name), say)?;
            }
        }
        drop(lock);
        Ok(())
    }
}

/// The cache's directory.
pub fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("FORESHADOW_CLUSTER_CACHE") {
        return dir.into();
    }
    let home = || std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("foreshadow-cluster")
}

/// Sources of a Go module of this crate.
pub fn source(module: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(module)
}

/// Where programs of a module stand: a directory of the cache named by what the module asks for.
fn directory(module: &str) -> Result<PathBuf> {
    let file = source(module).join("go.mod");
    let text = std::fs::read_to_string(&file).map_err(|source| Error::Io { what: format!("cannot read {}", file.display()), source })?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    build::FLAGS_VERSION.hash(&mut hasher);
    Ok(cache().join(format!("{module}-{:016x}", hasher.finish())))
}
