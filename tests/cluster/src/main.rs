//! `cargo test-cluster`: gets or builds a real Kubernetes, runs the two suites on it, and leaves nothing behind.

fn main() -> std::process::ExitCode {
    foreshadow_cluster::command::main()
}
