//! Who takes traffic: keeps the endpoint files of the front and of the copies in step with the state machine.
//!
//! Promises: a file is written before anything is done to an instance that left it, and only when something changed.

use super::files;
use super::proxy_config::{FRONT_CLUSTER, SHADOW_CLUSTER, endpoints};
use std::io;
use std::path::{Path, PathBuf};

/// The two files.
#[derive(Debug)]
pub struct Rotation {
    front: EndpointFile,
    shadow: EndpointFile,
}

#[derive(Debug)]
struct EndpointFile {
    cluster: &'static str,
    path: PathBuf,
    version: u64,
    ports: Vec<u16>,
}

impl Rotation {
    /// Writes both files, with nobody in rotation.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let front = EndpointFile::new(FRONT_CLUSTER, dir.join("endpoints-production.yaml"))?;
        let shadow = EndpointFile::new(SHADOW_CLUSTER, dir.join("endpoints-shadow.yaml"))?;
        Ok(Self { front, shadow })
    }

    /// The front's file.
    pub fn front_file(&self) -> &Path {
        &self.front.path
    }

    /// The copies' file.
    pub fn shadow_file(&self) -> &Path {
        &self.shadow.path
    }

    /// Brings the files up to date.
    pub fn publish(&mut self, production: Vec<u16>, shadow: Option<u16>) -> io::Result<()> {
        self.front.publish(production)?;
        self.shadow.publish(shadow.into_iter().collect())
    }
}

impl EndpointFile {
    fn new(cluster: &'static str, path: PathBuf) -> io::Result<Self> {
        let mut file = Self { cluster, path, version: 0, ports: Vec::new() };
        file.write()?;
        Ok(file)
    }

    fn publish(&mut self, ports: Vec<u16>) -> io::Result<()> {
        if self.ports == ports {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.ports, ports);
        let written = self.write();
        if written.is_err() {
            // So that the next call tries again.
            self.ports = before;
        }
        written
    }

    fn write(&mut self) -> io::Result<()> {
        self.version += 1;
        files::replace(&self.path, &endpoints(self.cluster, self.version, &self.ports), 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_change_only_when_the_rotation_does() {
        let dir = tempfile::tempdir().unwrap();
        let mut rotation = Rotation::new(dir.path()).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert!(read(rotation.front_file()).contains("endpoints: []"));
        rotation.publish(vec![1, 2], None).unwrap();
        rotation.publish(vec![1, 2], Some(9)).unwrap();
        assert!(read(rotation.front_file()).starts_with("version_info: \"2\""));
        assert!(read(rotation.shadow_file()).contains("port_value: 9 "));
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(rotation.publish(vec![1], Some(9)).is_err());
        std::fs::create_dir(dir.path()).unwrap();
        rotation.publish(vec![1], Some(9)).unwrap();
        assert!(read(rotation.front_file()).contains("port_value: 1 "));
    }
}
