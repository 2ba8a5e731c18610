//! The thread that writes access logs: opens files, appends, opens them anew when they were rotated away or when told to.
//!
//! Fed through a bounded channel that never blocks a worker. Called by the controller (start, reopen, finish) and by the workers' buffers.

use crate::config::model::LogTarget;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Buffers under way to the writer, at most.
const QUEUE: usize = 64;
/// How often files are looked at for rotation.
const LOOK: Duration = Duration::from_secs(1);
/// A target that fails is told of this often.
const TELL: Duration = Duration::from_secs(60);
/// Longest wait for the last lines at the end.
const PATIENCE: Duration = Duration::from_secs(2);

enum Order {
    Write(LogTarget, Vec<u8>),
    Reopen,
    Finish(SyncSender<()>),
}

/// The way to the writer.
#[derive(Debug, Clone)]
pub struct Sender(SyncSender<Order>);

impl Sender {
    /// Starts a writer.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let (orders, inbox) = sync_channel(QUEUE);
        std::thread::Builder::new().name("access-log".into()).spawn(move || run(&inbox))?;
        Ok(Self(orders))
    }

    /// Hands lines over.
    ///
    /// # Errors
    /// The lines again, when the writer is busy.
    pub fn send(&self, target: &LogTarget, lines: Vec<u8>) -> Result<(), Vec<u8>> {
        match self.0.try_send(Order::Write(target.clone(), lines)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Order::Write(_, lines)) | TrySendError::Disconnected(Order::Write(_, lines))) => Err(lines),
            Err(_) => Ok(()),
        }
    }

    /// Has files opened anew before the next line; waits for nothing.
    pub fn reopen(&self) {
        // A writer with a full queue looks at its files soon enough by itself.
        let _ = self.0.try_send(Order::Reopen);
    }

    /// Waits until everything handed over is written, within bounds.
    pub fn finish(&self) {
        let (done, wait) = sync_channel(1);
        let until = Instant::now() + PATIENCE;
        let mut order = Order::Finish(done);
        while let Err(TrySendError::Full(back)) = self.0.try_send(order) {
            if Instant::now() > until {
                return;
            }
            order = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        // It may be stuck on a disk: nobody waits for it longer than this.
        let _ = wait.recv_timeout(PATIENCE);
    }
}

fn run(inbox: &Receiver<Order>) {
    let mut files = BTreeMap::<LogTarget, Open>::new();
    while let Ok(order) = inbox.recv() {
        match order {
            Order::Write(target, lines) => files.entry(target.clone()).or_default().write(&target, &lines),
            Order::Reopen => files.values_mut().for_each(|open| open.file = None),
            // The one who waits may have given up.
            Order::Finish(done) => drop(done.send(())),
        }
    }
}

/// A target as the writer holds it.
#[derive(Default)]
struct Open {
    file: Option<(File, u64)>,
    looked: Option<Instant>,
    told: Option<Instant>,
}

impl Open {
    fn write(&mut self, target: &LogTarget, lines: &[u8]) {
        let written = match target {
            LogTarget::Stdout => io::stdout().write_all(lines),
            LogTarget::Stderr => io::stderr().write_all(lines),
            LogTarget::File(path) => self.append(path, lines),
        };
        if let Err(error) = written
            && self.told.is_none_or(|at| at.elapsed() > TELL)
        {
            self.told = Some(Instant::now());
            tracing::error!(?target, %error, "access log lines are lost");
        }
    }

    fn append(&mut self, path: &Path, lines: &[u8]) -> io::Result<()> {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.looked = Some(Instant::now());
            let there = std::fs::metadata(path).map(|m| m.ino()).ok();
            self.file = self.file.take().filter(|f| there == Some(f.1));
        }
        if self.file.is_none() {
            let file = File::options().append(true).create(true).open(path)?;
            let inode = file.metadata()?.ino();
            self.file = Some((file, inode));
        }
        self.file.as_mut().map_or(Ok(()), |f| f.0.write_all(lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_rotated_away_is_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
        let (writer, target) = (Sender::start().unwrap(), LogTarget::File(path.clone()));
        let write = |text: &str| {
            writer.send(&target, text.into()).unwrap();
            writer.finish();
        };
        write("one\n");
        std::fs::rename(&path, &old).unwrap();
        write("two\n");
        writer.reopen();
        write("three\n");
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }
}
