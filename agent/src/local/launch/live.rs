//! What is known of an instance's processes while it lives.

use crate::local::api::Instance;
use crate::local::cgroup::{Group, Resources};
use crate::local::machine::slot::{Part, Role};
use crate::local::process::Process;
use rustix::process::Signal;
use tokio::task::JoinHandle;

/// An instance's processes.
#[derive(Debug)]
pub struct Live {
    /// What it is for.
    pub role: Role,
    /// Its limits.
    pub resources: Resources,
    /// Its control group.
    pub group: Option<Group>,
    /// Port of the application.
    pub app_port: u16,
    /// Port of the proxy.
    pub proxy_port: u16,
    app: Option<Process>,
    proxy: Option<Process>,
    watch: Option<JoinHandle<()>>,
}

impl Live {
    /// Nothing runs yet.
    pub fn new(role: Role, resources: Resources, group: Option<Group>) -> Self {
        Self { role, resources, group, app_port: 0, proxy_port: 0, app: None, proxy: None, watch: None }
    }

    /// A part runs.
    pub fn put(&mut self, part: Part, process: Process, port: u16) {
        match part {
            Part::App => (self.app, self.app_port) = (Some(process), port),
            Part::Proxy => (self.proxy, self.proxy_port) = (Some(process), port),
        }
    }

    /// A part has ended: its id may soon be somebody else's.
    pub fn ended(&mut self, part: Part) {
        match part {
            Part::App => self.app = None,
            Part::Proxy => self.proxy = None,
        }
    }

    /// Replaces the task that looks at it.
    pub fn watch(&mut self, task: JoinHandle<()>) {
        if let Some(old) = self.watch.replace(task) {
            old.abort();
        }
    }

    /// Signals every process group of it; nobody needs to look at it any more.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(task) = self.watch.take() {
            task.abort();
        }
        for process in self.app.iter().chain(&self.proxy) {
            process.signal(signal);
        }
    }

    /// Its control group.
    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// Adds control groups and limits.
    pub fn complete(&self, instance: &mut Instance) {
        instance.cpu_limit_cores = self.resources.cpu_cores;
        instance.memory_limit_bytes = self.resources.memory_bytes;
        let group = self.group.iter().flatten();
        instance.cgroups = group.map(|(controller, dir)| (controller.clone(), dir.display().to_string())).collect();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(task) = self.watch.take() {
            task.abort();
        }
    }
}
