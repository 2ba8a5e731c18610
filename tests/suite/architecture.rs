//! The walls that ARCHITECTURE.md promises, held by reading the sources.

use foreshadow_tests::code::{cycles, sources, uses, workspace};

const LIBRARIES: [&str; 5] = ["proxy/src", "proxy/snapshot/src", "agent/src", "agent/brain/src", "loadtests/src"];

#[test]
fn no_import_cycles() {
    for library in LIBRARIES {
        let graph = uses(&workspace().join(library));
        assert!(!graph.is_empty(), "{library} has no sources: the test looks in the wrong place");
        assert_eq!(cycles(&graph), [""; 0], "{library} has modules that import each other in a ring");
    }
}

#[test]
fn proxy_and_agent_share_only_the_snapshot() {
    for (library, forbidden) in [
        ("proxy", "foreshadow_agent foreshadow_brain foreshadow_loadtests"),
        ("agent/src", "foreshadow_proxy foreshadow_loadtests"),
        ("agent/brain/src", "foreshadow_agent foreshadow_proxy foreshadow_snapshot foreshadow_loadtests"),
        ("loadtests/src", "foreshadow_agent foreshadow_proxy"),
    ] {
        for (path, text) in sources(&workspace().join(library)) {
            for name in forbidden.split(' ') {
                assert!(!text.contains(name), "{} names {name}", path.display());
            }
        }
    }
}

#[test]
fn the_brain_does_no_io_and_reads_no_clock() {
    const IMPURE: [&str; 12] = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "SystemTime",
        "Instant",
        "tokio",
        "println!",
        "HashMap",
        "static mut",
    ];
    let mut seen = 0;
    for (path, text) in sources(&workspace().join("agent/brain/src")) {
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for name in IMPURE {
                assert!(!line.contains(name), "{}: {name} in `{}`", path.display(), line.trim());
            }
        }
        seen += 1;
    }
    assert!(seen > 3, "the brain's sources were not found");
}
