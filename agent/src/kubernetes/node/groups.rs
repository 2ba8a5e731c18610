//! Where the kubelet keeps a container's control group: version 2 and 1, systemd's and cgroupfs' names, the hybrid layout, nested roots.
//!
//! Called by the node role once for each container; found directories are kept. Promises: what cannot be found is absent, never guessed;
//! version 2 is preferred wherever a controller is there. Layouts: kubelet `pkg/kubelet/cm`, runtimes' scope names; the tests show each.
//!
//! | driver | a burstable pod's container |
//! |---|---|
//! | systemd | `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope` |
//! | cgroupfs | `kubepods/burstable/pod<uid>/<id>` |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prefixes of the scopes that runtimes make under systemd.
const SCOPES: [&str; 4] = ["cri-containerd", "crio", "docker", "cri-o"];
/// Names of the kubelet's root above `kubepods`, when it is not the top: kind and some distributions.
const ROOTS: [&str; 3] = ["", "kubelet", "kubelet.slice"];

/// Quality of service class of a pod, as it is named in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `guaranteed` pods have no directory of their own class.
    Guaranteed,
    /// `burstable`.
    Burstable,
    /// `besteffort`.
    BestEffort,
}

impl Class {
    /// From `status.qosClass`.
    pub fn of(text: &str) -> Self {
        match text {
            "Guaranteed" => Self::Guaranteed,
            "BestEffort" => Self::BestEffort,
            _ => Self::Burstable,
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::Guaranteed => None,
            Self::Burstable => Some("burstable"),
            Self::BestEffort => Some("besteffort"),
        }
    }
}

/// Directories of a container below `root` (`/sys/fs/cgroup`), per controller as `observe::cgroup` reads them: `unified`, `cpu`, `cpuacct`, `memory`.
pub fn find(root: &Path, class: Class, pod_uid: &str, container_id: &str) -> BTreeMap<String, String> {
    let relative = candidates(class, pod_uid, container_id);
    let below = |base: PathBuf, file: &str| relative.iter().map(|r| base.join(r)).find(|dir| dir.join(file).exists());
    let mut found = BTreeMap::new();
    let mut keep = |controller: &str, dir: Option<PathBuf>| {
        if let Some(dir) = dir {
            found.insert(controller.to_owned(), dir.display().to_string());
        }
    };
    // Pure version 2 has its controllers at the top; the hybrid layout has an own tree with pressure, and version 1 beside it.
    if root.join("cgroup.controllers").exists() {
        keep("unified", below(root.to_owned(), "cgroup.procs"));
        return found;
    }
    keep("unified", below(root.join("unified"), "cgroup.procs"));
    keep("cpu", below(root.join("cpu,cpuacct"), "cpu.stat").or_else(|| below(root.join("cpu"), "cpu.stat")));
    keep("cpuacct", below(root.join("cpu,cpuacct"), "cpuacct.usage").or_else(|| below(root.join("cpuacct"), "cpuacct.usage")));
    keep("memory", below(root.join("memory"), "memory.usage_in_bytes"));
    found
}

fn candidates(class: Class, pod_uid: &str, container_id: &str) -> Vec<String> {
    let mut all = Vec::new();
    for root in ROOTS {
        match root.strip_suffix(".slice") {
            None => {
                let base = if root.is_empty() { String::new() } else { format!("{root}/") };
                let class_dir = class.name().map(|c| format!("{c}/")).unwrap_or_default();
                all.push(format!("{base}kubepods/{class_dir}pod{pod_uid}/{container_id}"));
                if root.is_empty() {
                    all.extend(systemd("", class, pod_uid, container_id));
                }
            }
            Some(outer) => all.extend(systemd(outer, class, pod_uid, container_id)),
        }
    }
    all
}

/// A slice's name repeats the names above it: `kubelet.slice/kubelet-kubepods.slice/...`.
fn systemd(outer: &str, class: Class, pod_uid: &str, container_id: &str) -> Vec<String> {
    let mut path = if outer.is_empty() { String::new() } else { format!("{outer}.slice/") };
    let mut name = if outer.is_empty() { "kubepods".to_owned() } else { format!("{outer}-kubepods") };
    path += &format!("{name}.slice/");
    if let Some(class) = class.name() {
        name = format!("{name}-{class}");
        path += &format!("{name}.slice/");
    }
    path += &format!("{name}-pod{}.slice", pod_uid.replace('-', "_"));
    SCOPES.iter().map(|scope| format!("{path}/{scope}-{container_id}.scope")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const UID: &str = "0b5ad3d0-1111-4222-8333-944444444444";
    const ID: &str = "8a7f";

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    fn found(dir: &tempfile::TempDir, class: Class) -> Vec<(String, String)> {
        let prefix = format!("{}/", dir.path().display());
        find(dir.path(), class, UID, ID).into_iter().map(|(c, d)| (c, d.replace(&prefix, ""))).collect()
    }

    fn pair(controller: &str, dir: &str) -> (String, String) {
        (controller.into(), dir.into())
    }

    #[test]
    fn version_2_under_systemd() {
        let slice = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0b5ad3d0_1111_4222_8333_944444444444.slice";
        let dir = format!("{slice}/cri-containerd-8a7f.scope");
        let tree = tree(&["cgroup.controllers", &format!("{dir}/cgroup.procs")]);
        assert_eq!(found(&tree, Class::Burstable), [pair("unified", &dir)]);
        assert_eq!(found(&tree, Class::Guaranteed), []);
    }

    #[test]
    fn version_2_under_cgroupfs_and_guaranteed_pods_have_no_class_directory() {
        let dir = format!("kubepods/pod{UID}/{ID}");
        assert_eq!(found(&tree(&["cgroup.controllers", &format!("{dir}/cgroup.procs")]), Class::Guaranteed), [pair("unified", &dir)]);
    }

    #[test]
    fn a_kubelet_below_the_top_names_its_slices_after_it() {
        let slice = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice";
        let dir = format!("{slice}/kubelet-kubepods-besteffort-pod0b5ad3d0_1111_4222_8333_944444444444.slice/crio-8a7f.scope");
        assert_eq!(found(&tree(&["cgroup.controllers", &format!("{dir}/cgroup.procs")]), Class::BestEffort), [pair("unified", &dir)]);
    }

    #[test]
    fn the_hybrid_layout_has_version_1_beside_pressure() {
        let dir = format!("kubepods/burstable/pod{UID}/{ID}");
        let files = ["unified", "cpu", "cpuacct", "memory"].map(|c| {
            let file = match c {
                "unified" => "cgroup.procs",
                "cpu" => "cpu.stat",
                "cpuacct" => "cpuacct.usage",
                _ => "memory.usage_in_bytes",
            };
            format!("{c}/{dir}/{file}")
        });
        let tree = tree(&files.each_ref().map(String::as_str));
        let all = ["cpu", "cpuacct", "memory", "unified"].map(|c| pair(c, &format!("{c}/{dir}")));
        assert_eq!(found(&tree, Class::Burstable), all);
    }

    #[test]
    fn version_1_with_joined_controllers() {
        let dir = format!("kubepods/burstable/pod{UID}/{ID}");
        let tree = tree(&[&format!("cpu,cpuacct/{dir}/cpu.stat"), &format!("cpu,cpuacct/{dir}/cpuacct.usage")]);
        assert_eq!(
            found(&tree, Class::Burstable),
            [pair("cpu", &format!("cpu,cpuacct/{dir}")), pair("cpuacct", &format!("cpu,cpuacct/{dir}"))]
        );
    }
}
