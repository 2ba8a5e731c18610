//! The short form of `cargo soak`: kills, resets, reloads and slow peers around the sidecar for 20 seconds.

use foreshadow_tests::programs::program;
use std::process::{Command, Stdio};

#[test]
fn accounts_close_and_memory_is_flat_whatever_happens_around_the_sidecar() {
    let out = Command::new(program("soak"))
        .args(["--minutes", "0.34", "--clients", "24"])
        // The programs are built already.
        .env_remove("CARGO")
        .stdin(Stdio::null())
        .output()
        .expect("the soak starts");
    let (said, wrong) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && said.contains("nothing found"), "{said}\n{wrong}");
}
