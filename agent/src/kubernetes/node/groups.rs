//! Where the kubelet keeps a container's control group: version 2 and 1, systemd's and cgroupfs' names, the hybrid layout, nested roots.
//!
//! Called by the node role once for each container; found directories are kept. Promises: what cannot be found is absent, never guessed;
//! version 2 is preferred wherever a controller is there; a kubelet may have its pods below any group (`cgroupRoot`), so where they are is
//! looked up ([`Tops`]). Layouts: kubelet `pkg/kubelet/cm`, runtimes' scope names; the tests show each.
//!
//! | driver | a burstable pod's container |
//! |---|---|
//! | systemd | `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope` |
//! | cgroupfs | `kubepods/burstable/pod<uid>/<id>` |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prefixes of the scopes that runtimes make under systemd.
const SCOPES: [&str; 4] = ["cri-containerd", "crio", "docker", "cri-o"];
/// How far below the top `kubepods` may be, and the most groups looked at on the way: machines have some hundreds.
const DEPTH: usize = 4;
const MOST_GROUPS: usize = 10_000;

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

/// Where kubelets have their pods: groups named `kubepods`, relative to a hierarchy's top. Mostly one; two kubelets may share a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tops(Vec<String>);

impl Tops {
    /// Looks for them below `root` (`/sys/fs/cgroup`).
    pub fn look(root: &Path) -> Self {
        // The kubelet makes the same groups in every hierarchy of version 1.
        let hierarchies = ["cpu,cpuacct", "cpu", "memory"].map(|c| root.join(c));
        let top = if root.join("cgroup.controllers").exists() {
            Some(root)
        } else {
            hierarchies.iter().find(|h| h.is_dir()).map(PathBuf::as_path)
        };
        let mut found = Vec::new();
        let mut level: Vec<String> = top.map(|_| String::new()).into_iter().collect();
        let mut looked = 0;
        for _ in 0..DEPTH {
            let mut below = Vec::new();
            for group in level {
                let entries = top.and_then(|t| std::fs::read_dir(t.join(&group)).ok()).into_iter().flatten().flatten();
                for name in entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).filter_map(|e| e.file_name().into_string().ok()) {
                    let path = if group.is_empty() { name.clone() } else { format!("{group}/{name}") };
                    looked += 1;
                    if is_top(&name) {
                        found.push(path)
                    } else if looked < MOST_GROUPS {
                        below.push(path)
                    }
                }
            }
            level = below;
        }
        found.sort();
        Self(found)
    }
}

/// cgroupfs' name, and systemd's, which repeats the names above it.
fn is_top(name: &str) -> bool {
    name == "kubepods" || name == "kubepods.slice" || name.ends_with("-kubepods.slice")
}

/// Directories of a container below `root` (`/sys/fs/cgroup`), per controller as `observe::cgroup` reads them: `unified`, `cpu`, `cpuacct`, `memory`.
pub fn find(root: &Path, tops: &Tops, class: Class, pod_uid: &str, container_id: &str) -> BTreeMap<String, String> {
    let relative: Vec<String> = tops.0.iter().flat_map(|top| candidates(top, class, pod_uid, container_id)).collect();
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

/// Where a container's group may be below one top.
fn candidates(top: &str, class: Class, pod_uid: &str, container_id: &str) -> Vec<String> {
    let last = top.rsplit('/').next().unwrap_or_default();
    let Some(mut name) = last.strip_suffix(".slice").map(str::to_owned) else {
        let class = class.name().map(|c| format!("{c}/")).unwrap_or_default();
        return vec![format!("{top}/{class}pod{pod_uid}/{container_id}")];
    };
    let mut path = format!("{top}/");
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
        find(dir.path(), &Tops::look(dir.path()), class, UID, ID).into_iter().map(|(c, d)| (c, d.replace(&prefix, ""))).collect()
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
    fn a_cgroup_root_of_any_name_is_found_and_nothing_below_pods_is_taken_for_one() {
        let dir = format!("one/two/kubepods/burstable/pod{UID}/{ID}");
        let tree = tree(&["cgroup.controllers", &format!("{dir}/cgroup.procs"), &format!("{dir}/kubepods/x")]);
        assert_eq!(Tops::look(tree.path()), Tops(vec!["one/two/kubepods".into()]));
        assert_eq!(found(&tree, Class::Burstable), [pair("unified", &dir)]);
    }

    #[test]
    fn two_kubelets_on_one_machine_keep_their_pods_apart() {
        let (one, two) = (format!("kubepods/pod{UID}/{ID}"), "other/kubepods/podx/y".to_owned());
        let tree = tree(&["cgroup.controllers", &format!("{one}/cgroup.procs"), &format!("{two}/cgroup.procs")]);
        assert_eq!(found(&tree, Class::Guaranteed), [pair("unified", &one)]);
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
