//! The components of a control plane beside the API server, each with an identity of its own: who makes pods and who places them.
//!
//! Called for a whole node (`node/components.rs` adds what a node needs) and for a fleet of simulated ones.

use crate::assets::Assets;
use crate::control_plane::ControlPlane;
use crate::error::{Result, write};
use crate::kubeconfig;
use crate::process::Process;
use std::path::Path;
use std::process::Command;

/// What they are started from; `dir` holds their configuration and logs.
#[derive(Clone, Copy)]
pub struct Components<'a> {
    /// The programs.
    pub assets: &'a Assets,
    /// The API server.
    pub plane: &'a ControlPlane,
    /// Where their files go.
    pub dir: &'a Path,
}

impl Components<'_> {
    /// Writes a kubeconfig for a component that is `user`; its path.
    ///
    /// # Errors
    /// When the certificate or the file cannot be made.
    pub fn kubeconfig(&self, name: &str, user: &str, group: Option<&str>) -> Result<String> {
        let identity = self.plane.pki().client(name, user, group)?;
        let path = self.dir.join(format!("{name}.kubeconfig"));
        write(&path, kubeconfig::with_certificate(self.plane.url(), self.plane.pki().ca(), &identity))?;
        Ok(path.display().to_string())
    }

    /// Path of a file of the cluster's certificates and keys.
    pub fn pki(&self, file: &str) -> String {
        self.plane.pki().path(file).display().to_string()
    }

    /// Starts a program by its name.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn start(&self, name: &str, arguments: &[String]) -> Result<Process> {
        Process::start(self.dir, name, Command::new(self.assets.program(name)?).args(arguments))
    }

    /// The controllers of Deployments, ReplicaSets, HPAs and so on; `more` are further arguments.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn controller_manager(&self, more: &[&str]) -> Result<Process> {
        let own = [
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", self.pki("service-account.key")),
            format!("--root-ca-file={}", self.pki("ca.crt")),
        ];
        self.controller("kube-controller-manager", &own, more)
    }

    /// Who says on which node a pod runs; `more` are further arguments.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn scheduler(&self, more: &[&str]) -> Result<Process> {
        self.controller("kube-scheduler", &[], more)
    }

    /// There is one of each, so none is elected.
    fn controller(&self, name: &str, own: &[String], more: &[&str]) -> Result<Process> {
        let config = self.kubeconfig(name, &format!("system:{name}"), None)?;
        let common = [format!("--kubeconfig={config}"), "--leader-elect=false".into(), "--bind-address=127.0.0.1".into()];
        let more = more.iter().map(|a| (*a).to_owned());
        self.start(name, &common.iter().chain(own).cloned().chain(more).collect::<Vec<_>>())
    }
}
