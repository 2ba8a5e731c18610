//! The tools that change the packet filter: which are there, and running them.

use super::error::InitError;
use super::options::Backend;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A tool; of the iptables family the command's name without its address family (`iptables`, `iptables-nft`, `iptables-legacy`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tool {
    /// nftables.
    Nft,
    /// iptables in one of its forms.
    Iptables(&'static str),
}

impl Tool {
    /// The command.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Iptables(name) => name,
        }
    }

    /// Tools that would do, the best first.
    pub fn candidates(backend: Backend) -> Vec<Self> {
        match backend {
            Backend::Auto => vec![Self::Nft, Self::Iptables("iptables-nft"), Self::Iptables("iptables"), Self::Iptables("iptables-legacy")],
            Backend::Nft => vec![Self::Nft],
            Backend::Iptables => vec![Self::Iptables("iptables")],
            Backend::IptablesNft => vec![Self::Iptables("iptables-nft")],
            Backend::IptablesLegacy => vec![Self::Iptables("iptables-legacy")],
        }
    }

    /// Those of them that are on PATH.
    pub fn present(backend: Backend) -> Vec<Self> {
        Self::candidates(backend).into_iter().filter(|t| on_path(t.name())).collect()
    }
}

/// Whether a command is on PATH.
pub fn on_path(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// Runs a command with `input`; its standard output.
///
/// # Errors
/// When it cannot be run or fails, with what it wrote to standard error.
pub fn run(name: &str, arguments: &[&str], input: &str) -> Result<String, InitError> {
    let cannot = |why: std::io::Error| InitError::Tool(format!("{name} cannot be run: {why}"));
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(cannot)?;
    if let Some(mut to) = child.stdin.take() {
        // A tool that ends without reading tells why by itself.
        let _ = to.write_all(input.as_bytes());
    }
    let ended = child.wait_with_output().map_err(cannot)?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(InitError::Tool(format!("{name} {} failed ({}): {}", arguments.join(" "), ended.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}
