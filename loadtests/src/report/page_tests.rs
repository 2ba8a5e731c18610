//! Tests of the page and of the JSON's shape, from a recorded run. `UPDATE_GOLDEN=1` rewrites the golden file from itself
//! (new keys appear with their defaults).

use super::*;

const GOLDEN: &str = include_str!("golden/demo.json");

fn golden() -> Document {
    serde_json::from_str(GOLDEN).unwrap()
}

#[test]
fn the_json_only_grows() {
    let doc = golden();
    let written = serde_json::to_string_pretty(&doc).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/golden/demo.json"), &written).unwrap();
    }
    assert!(written == GOLDEN, "keys changed: add, never rename; then UPDATE_GOLDEN=1");
}

#[test]
fn the_documented_keys_are_there() {
    let json: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    for pointer in [
        "/seed",
        "/load",
        "/arms/0/name",
        "/arms/0/requests",
        "/arms/0/bad",
        "/arms/0/replica_seconds",
        "/arms/0/shadow_replica_seconds",
        "/arms/0/violations/0/onset_s",
        "/arms/0/violations/0/end_s",
        "/arms/0/violations/0/fault",
        "/arms/1/floor_raises/0/at_s",
        "/arms/1/floor_raises/0/from",
        "/arms/1/floor_raises/0/to",
        "/arms/1/floor_raises/0/reason",
        "/arms/1/lead_s",
        "/copies/eligible",
        "/copies/completed",
        "/copies/dropped",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn a_document_of_a_later_version_and_an_almost_empty_one_are_read() {
    let doc: Document = serde_json::from_str(r#"{"seed": 3, "from_the_future": {"x": 1}}"#).unwrap();
    assert_eq!(doc.seed, 3);
    assert!(html(&doc).contains("No arm was finished"));
}

#[test]
fn the_page_shows_everything_and_loads_nothing() {
    let doc = golden();
    let page = html(&doc);
    for piece in [
        "fewer bad requests",
        "hidden-loss",
        "Capacity of one replica",
        "Margin",
        "Account of the copies",
        "Replicas that take traffic",
        "prefers-color-scheme:dark",
        "width=device-width",
    ] {
        assert!(page.contains(piece), "{piece}");
    }
    assert_eq!(page.matches("<figure").count(), 7);
    for absent in ["<script", "src=", "<link", "@import", "url(", "@font-face"] {
        assert!(!page.contains(absent), "{absent}");
    }
    let addresses: Vec<_> = page.match_indices("http").map(|(i, _)| page[i..].split('"').next().unwrap()).collect();
    assert!(addresses.iter().all(|a| *a == "http://www.w3.org/2000/svg"), "only the name of the drawing format: {addresses:?}");
}

#[test]
fn tags_are_balanced() {
    let page = html(&golden());
    for tag in ["html", "head", "body", "table", "tr", "td", "th", "ul", "li", "figure", "svg", "h2", "p", "div", "figcaption", "small"] {
        let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn foreign_text_is_escaped() {
    let mut doc = golden();
    doc.arms[1].decisions[0].reason = "<script>alert(1)</script>".into();
    doc.target.command = "serve \"a\" & <b>".into();
    doc.notes.push("<img src=x>".into());
    let page = html(&doc);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"));
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn one_arm_is_enough() {
    for keep in [0, 1] {
        let mut doc = golden();
        let arm = doc.arms.remove(keep);
        doc.arms = vec![arm];
        let page = html(&doc);
        assert!(page.contains("There is nothing to compare it with"));
    }
}
