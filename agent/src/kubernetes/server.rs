//! The API server that the kubeconfig names: a client for it, its version.

use super::inject::Native;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Longest wait for an answer when only the version is asked for.
const PATIENCE: Duration = Duration::from_secs(3);

/// A minor version, `1.29`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
}

impl Version {
    /// Native sidecars are on by default from 1.29. Services find their ports by name later: an EndpointSlice of an older release is left
    /// without the port (kubernetes/kubernetes#127958, #128850), and nobody reaches the pod.
    pub fn native_sidecars(self) -> Native {
        match (self.major, self.minor) {
            (1, ..29) => Native::Never,
            (1, ..33) => Native::Unnamed,
            _ => Native::Always,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = String;

    /// Takes `1.29`, `v1.29.3`, `1.29+`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a version; expected something like 1.33");
        let mut parts = text.trim().trim_start_matches('v').split('.');
        let mut number = || {
            let digits: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        match (number(), number()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(wrong()),
        }
    }
}

/// A client for the cluster that the environment or the kubeconfig names.
///
/// # Errors
/// Why there is none, for people.
pub async fn client() -> Result<kube::Client, String> {
    kube::Client::try_default().await.map_err(|e| format!("no cluster: {e}"))
}

/// The version of a server.
///
/// # Errors
/// Why it is not known.
pub async fn version(client: &kube::Client) -> Result<Version, String> {
    let info = client.apiserver_version().await.map_err(|e| format!("the API server does not tell its version: {e}"))?;
    format!("{}.{}", info.major, info.minor).parse()
}

/// Asks the server of the kubeconfig for its version, not for long.
///
/// # Errors
/// Why it is not known.
pub fn discover_version() -> Result<Version, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let asked = async { version(&client().await?).await };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("the API server does not answer".into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_and_people_write_them() {
        for text in ["1.29", "v1.29.3", "1.29+", " 1.29.0-eks"] {
            assert_eq!(text.parse(), Ok(Version { major: 1, minor: 29 }), "{text}");
        }
        assert!("1".parse::<Version>().is_err() && "new".parse::<Version>().is_err());
        let native = |minor| Version { major: 1, minor }.native_sidecars();
        assert_eq!([28, 29, 32, 33].map(native), [Native::Never, Native::Unnamed, Native::Unnamed, Native::Always]);
    }
}
