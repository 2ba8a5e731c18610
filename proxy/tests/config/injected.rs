//! What injection tells sidecars (tests/golden/inject/proxy, written by the agent's golden tests) loads here and in Envoy, and means what
//! injection promises.

use std::path::{Path, PathBuf};

use foreshadow_proxy::config::model::{Config, Discovery, MirrorMethods};

use crate::envoy;
use crate::support::{forward, load_file, root, routes};

const ASSIGNMENT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// The configurations as a container has them: the endpoint file is there, Kubernetes has filled in the pod's UID.
fn configurations(dir: &Path) -> Vec<(String, PathBuf)> {
    root();
    let names = ["shadow", "shadow-8080", "shadow-8081", "shadow-9000"];
    let resources: String = names.iter().map(|n| format!("- {{ \"@type\": {ASSIGNMENT}, cluster_name: {n}, endpoints: [] }}\n")).collect();
    std::fs::write(dir.join("endpoints.yaml"), format!("resources:\n{resources}"))
        .expect("the repository's files can be read, and a temporary directory written");
    let mut found = Vec::new();
    for file in std::fs::read_dir("tests/golden/inject/proxy")
        .expect("the repository's files can be read, and a temporary directory written")
        .flatten()
    {
        let text = std::fs::read_to_string(file.path()).expect("the repository's files can be read, and a temporary directory written");
        assert!(text.contains("/etc/foreshadow/shadow/") && text.contains("$(FORESHADOW_POD_UID)"));
        let filled = text.replace("/etc/foreshadow/shadow", &dir.display().to_string()).replace("$(FORESHADOW_POD_UID)", "pod-uid-1");
        let name = file.file_name().to_string_lossy().into_owned();
        std::fs::write(dir.join(&name), filled).expect("the repository's files can be read, and a temporary directory written");
        found.push((name.clone(), dir.join(name)));
    }
    assert!(found.len() >= 8, "{found:?}");
    found
}

fn cluster(config: &Config, name: &str) -> usize {
    config.clusters.iter().position(|c| c.name == name).unwrap_or_else(|| panic!("no cluster {name}"))
}

#[test]
fn every_injected_configuration_loads_and_copies_nothing_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    for (name, file) in configurations(dir.path()) {
        let config = load_file(file.to_str().unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:17000", "{name}: admin stays on loopback");
        let mut mirrored = 0;
        for route in routes(&config) {
            let foreshadow_proxy::config::model::RouteAction::Forward(_) = &route.action else { continue };
            let forward = forward(route);
            for mirror in &forward.mirrors {
                let wanted = if name.ends_with("-all.yaml") { MirrorMethods::All } else { MirrorMethods::Safe };
                assert_eq!(
                    (mirror.fraction, mirror.runtime_key.as_deref(), mirror.limits.methods),
                    (0.0, Some("mirror.shadow"), wanted),
                    "{name}"
                );
                let Discovery::EdsFile { initial, .. } = &config.clusters[mirror.cluster.unwrap()].discovery else { panic!("{name}") };
                assert!(initial.is_empty(), "{name}");
                mirrored += 1;
            }
            assert!(forward.mirrors.is_empty() || forward.timeout.is_none(), "{name}: production's patience is its clients'");
        }
        assert!(mirrored > 0, "{name}");
        assert!(!config.clusters[cluster(&config, "foreshadow-admin")].mirror_only);
    }
}

#[test]
fn envoy_accepts_every_injected_configuration() {
    let Some(envoy) = envoy::binary() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (name, file) in configurations(dir.path()) {
        assert!(envoy::accepts(&envoy, &file), "Envoy refuses {name}");
    }
}
