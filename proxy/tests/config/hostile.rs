//! No input makes the loader panic or grow without bound.

use std::time::{Duration, Instant};

use foreshadow_proxy::config::{Source, load, parse_eds_text};
use proptest::prelude::*;

const SIDECAR: &str = include_str!("mapping.yaml");

/// Generous, so that only something quadratic or worse fails on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);

/// Pieces that YAML and this loader take notice of.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "- ",
        ": ",
        "\n",
        "  ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "*b",
        "!x ",
        "!ignore ",
        "!!str ",
        "|",
        ">",
        "\"",
        "'",
        "#",
        "---\n",
        "...",
        "? ",
        "<<",
        "\t",
        "\u{feff}",
        "é",
        "\0",
        "%YAML 1.2\n",
        "static_resources",
        "clusters",
        "listeners",
        "name",
        "admin",
        "@type",
        "value",
        "null",
        "0x",
        "1e9",
        "5s",
        "resources",
        "cluster_name",
        "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    ];
    prop_oneof![4 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,4}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn yaml_like_text_is_read_or_refused(pieces in proptest::collection::vec(piece(), 0..60)) {
        let text = pieces.concat();
        let _ = parse_eds_text("x", &text, "c").map_err(|p| p.to_string());
        if let Err(problems) = load(&Source::text(text)) {
            prop_assert!(problems.count() > 0);
        }
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(at in 0..SIDECAR.len(), cut in 0..40usize, put in piece()) {
        let end = (at + cut).min(SIDECAR.len());
        let text = format!("{}{put}{}", &SIDECAR[..at], &SIDECAR[end..]);
        if let Err(problems) = load(&Source::text(text)) {
            prop_assert!(problems.iter().all(|p| p.line > 0 && p.column > 0 && !p.what.is_empty() && !p.right.is_empty()));
        }
    }
}

fn refused_quickly(what: &str, text: String) -> String {
    let start = Instant::now();
    let said = load(&Source::text(text)).expect_err(what).to_string();
    assert!(start.elapsed() < LONGEST, "{what} took {:?}", start.elapsed());
    said
}

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let previous = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{previous}]\n"));
    }
    assert!(refused_quickly("aliases", text).contains("once aliases are expanded"));
}

#[test]
fn an_alias_of_its_own_value_is_refused() {
    assert!(refused_quickly("cycle", "a: &a [*a]".into()).contains("inside the value it refers to"));
}

/// The parser has a limit of its own for flow collections, which may come first.
fn too_deep(what: &str, text: String) {
    let said = refused_quickly(what, text);
    assert!(said.contains("nested deeper") || said.contains("recursion limit"), "{what}: {said}");
}

#[test]
fn depth_length_and_numbers_are_bounded() {
    too_deep("flow", "[".repeat(100_000));
    too_deep("block", "- ".repeat(100_000));
    too_deep("braces", "{a: ".repeat(100_000));
    assert!(refused_quickly("long", "#".repeat(9 << 20)).contains("bytes are read"));
    refused_quickly("many", format!("[{}]", "a, ".repeat(200_000)));
    refused_quickly("one scalar", "a".repeat(4 << 20));
    refused_quickly("one key", format!("{}: 1", "a".repeat(100_000)));
    let keys: String = (0..100_000).map(|n| format!("k{n}: 1\n")).collect();
    assert!(refused_quickly("keys", keys).contains("99800 more not shown"));
}
