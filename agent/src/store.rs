//! The history: an embedded database (redb) of sessions, samples, decisions and actions that survives `kill -9`.
//!
//! Called by the control loop (one [`Store::append`] a tick, on a blocking thread) and by `replay` and `export` (reading, also while
//! an agent writes). Promises:
//! * one durable commit (fsync) a tick, before any action of that tick is applied: whatever happens to the process or the machine,
//!   at most the tick under way is lost, and what was acted on is never unrecorded. Who keeps many histories open waits for the disk with
//!   every [`MANY_TICKS`]th tick and with what must survive only ([`crate::record::ActionKind::must_survive`]): a node's disk has other users;
//! * age and size are bounded; old records go in small steps, a few a tick;
//! * a file that is damaged or not ours is refused by name and left alone.
//!
//! Values are deflated JSON behind eight bytes of time. Sequence numbers have no holes except where retention removed the oldest.

mod codec;
mod reader;
mod retention;

pub use reader::Reader;

use crate::record::{Action, Session};
use foreshadow_brain::{Decision, Sample};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::{Path, PathBuf};
use std::time::Duration;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SESSIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("sessions");
const SAMPLES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("samples");
const DECISIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("decisions");
const ACTIONS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("actions");

/// Version of the layout.
const LAYOUT: u64 = 1;

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another agent has it.
    #[error("{}: in use by another running agent; stop it, or set `history.path` to another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Not a history, or damaged.
    #[error("{}: {why}; it is left as it is: move it away, or name another file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file system said no.
    #[error("{}: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        why: String,
    },
    /// The database said no while running.
    #[error("history: {0}")]
    Database(#[from] Box<redb::Error>),
    /// A record that cannot be written or read.
    #[error("history: record {0} cannot be read: {1}")]
    Record(u64, String),
}

impl StoreError {
    fn unreadable(path: &Path, why: impl Into<String>) -> Self {
        Self::Unreadable { path: path.into(), why: why.into() }
    }

    fn io(path: &Path, what: &str, e: &std::io::Error) -> Self {
        Self::Io { path: path.into(), why: format!("{what}: {e}") }
    }

    fn database(e: impl Into<redb::Error>) -> Self {
        Self::Database(Box::new(e.into()))
    }
}

/// Ticks that one of many histories keeps in memory at most.
pub const MANY_TICKS: usize = 10;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Older records are removed.
    pub keep: Duration,
    /// The oldest are removed when records outgrow this, in bytes; the file stays below twice that.
    pub max_bytes: u64,
}

/// The history, open for writing.
#[derive(Debug)]
pub struct Store {
    db: Database,
    limits: Limits,
    next_seq: u64,
    /// Ticks that are written at once.
    batch: usize,
    /// Ticks that are still to be written, the oldest first; `next_seq` comes after them.
    waiting: Vec<Waiting>,
}

/// A tick that is still to be written.
#[derive(Debug)]
struct Waiting {
    at_ms: u64,
    sample: Vec<u8>,
    decision: Vec<u8>,
    actions: Vec<Vec<u8>>,
}

impl Store {
    /// Opens or creates the file. A file left by a killed process is usable at once.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        Self::open_with(path, limits, 16 << 20, 1)
    }

    /// The same, with a cache of this size: for who keeps many histories open.
    pub fn open_small(path: &Path, limits: Limits, cache_bytes: usize) -> Result<Self, StoreError> {
        Self::open_with(path, limits, cache_bytes, MANY_TICKS)
    }

    fn open_with(path: &Path, limits: Limits, cache_bytes: usize, batch: usize) -> Result<Self, StoreError> {
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(|e| StoreError::io(dir, "cannot be created", &e))?;
        }
        let mut builder = redb::Builder::new();
        builder.set_concurrency_mode(redb::ConcurrencyMode::SingleWriter).set_cache_size(cache_bytes);
        let db = builder.create(path).map_err(|e| refuse(path, e))?;
        let next_seq = prepare(&db).map_err(|why| StoreError::unreadable(path, why))?;
        Ok(Self { db, limits, next_seq, batch, waiting: Vec::new() })
    }

    /// Number that the next sample gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The newest samples that are no older than `not_before_ms`, at most `most` of them, oldest first.
    pub fn recent(&mut self, not_before_ms: u64, most: usize) -> Result<Vec<(u64, Sample)>, StoreError> {
        self.flush()?;
        let read = self.db.begin_read().map_err(StoreError::database)?;
        let table = read.open_table(SAMPLES).map_err(StoreError::database)?;
        let mut found = Vec::new();
        for entry in table.range::<u64>(..).map_err(StoreError::database)?.rev().take(most) {
            let (seq, value) = entry.map_err(StoreError::database)?;
            if codec::at_ms(value.value()) < not_before_ms {
                break;
            }
            found.push((seq.value(), codec::decode(seq.value(), value.value())?));
        }
        found.reverse();
        Ok(found)
    }

    /// The newest actions, newest first, at most `most`.
    pub fn recent_actions(&mut self, most: usize) -> Result<Vec<Action>, StoreError> {
        self.flush()?;
        let read = self.db.begin_read().map_err(StoreError::database)?;
        let table = read.open_table(ACTIONS).map_err(StoreError::database)?;
        let newest = table.range::<(u64, u32)>(..).map_err(StoreError::database)?.rev().take(most);
        newest
            .map(|entry| {
                let (key, value) = entry.map_err(StoreError::database)?;
                codec::decode(key.value().0, value.value())
            })
            .collect()
    }

    /// Begins a session; its `id` and `first_seq` are filled in, and `warm_from_seq` when there is no warm-up.
    pub fn begin_session(&mut self, mut session: Session, warm_from_seq: Option<u64>) -> Result<Session, StoreError> {
        self.flush()?;
        let write = self.begin_write()?;
        {
            let mut sessions = write.open_table(SESSIONS).map_err(StoreError::database)?;
            let last = sessions.last().map_err(StoreError::database)?.map(|(id, _)| id.value());
            session.id = last.map_or(1, |id| id + 1);
            session.first_seq = self.next_seq;
            session.warm_from_seq = warm_from_seq.unwrap_or(self.next_seq);
            let value = codec::encode(session.started_ms, &session);
            sessions.insert(session.id, value.as_slice()).map_err(StoreError::database)?;
        }
        write.commit().map_err(StoreError::database)?;
        Ok(session)
    }

    /// Whether recording one more tick with these actions writes to the disk.
    pub fn waits_for_disk(&self, actions: &[Action]) -> bool {
        self.waiting.len() + 1 >= self.batch || actions.iter().any(|a| a.kind.must_survive())
    }

    /// Records one tick and lets a little of the oldest go; returns its sequence number. Durable when it returns with
    /// actions that must survive; without, as often as was said.
    pub fn append(&mut self, sample: &Sample, decision: &Decision, actions: &[Action]) -> Result<u64, StoreError> {
        let (seq, durable) = (self.next_seq, self.waits_for_disk(actions));
        self.waiting.push(Waiting {
            at_ms: sample.at_ms,
            sample: codec::encode(sample.at_ms, sample),
            decision: codec::encode(sample.at_ms, decision),
            actions: actions.iter().map(|a| codec::encode(sample.at_ms, a)).collect(),
        });
        self.next_seq += 1;
        if durable {
            self.flush()?;
        }
        Ok(seq)
    }

    /// Writes what is still to be written. What cannot be is lost, and its numbers are given again: the file has no holes.
    ///
    /// # Errors
    /// What the database said.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let Some(newest) = self.waiting.last() else { return Ok(()) };
        let (first, newest_ms) = (self.next_seq - self.waiting.len() as u64, newest.at_ms);
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.write(first, &waiting, newest_ms);
        if written.is_err() {
            self.next_seq = first;
        }
        written
    }

    fn write(&self, first: u64, ticks: &[Waiting], newest_ms: u64) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        let mut added = 0;
        for (seq, tick) in (first..).zip(ticks) {
            added += put(&write, SAMPLES, seq, &tick.sample)? + put(&write, DECISIONS, seq, &tick.decision)?;
            let mut table = write.open_table(ACTIONS).map_err(StoreError::database)?;
            for (index, action) in (0..).zip(&tick.actions) {
                added += codec::footprint(action.len());
                table.insert((seq, index), action.as_slice()).map_err(StoreError::database)?;
            }
        }
        retention::sweep(&write, self.limits, newest_ms, added)?;
        write.commit().map_err(StoreError::database)
    }

    /// Takes over samples that another agent recorded, oldest first, in one commit: a decision core is fed with them, nothing was decided here.
    pub fn adopt(&mut self, samples: &[Sample]) -> Result<(), StoreError> {
        self.flush()?;
        let write = self.begin_write()?;
        let mut next_seq = self.next_seq;
        let (mut added, mut newest_ms) = (0, 0);
        for sample in samples {
            added += put(&write, SAMPLES, next_seq, &codec::encode(sample.at_ms, sample))?;
            (next_seq, newest_ms) = (next_seq + 1, newest_ms.max(sample.at_ms));
        }
        retention::sweep(&write, self.limits, newest_ms, added)?;
        write.commit().map_err(StoreError::database)?;
        self.next_seq = next_seq;
        Ok(())
    }

    fn begin_write(&self) -> Result<redb::WriteTransaction, StoreError> {
        let mut write = self.db.begin_write().map_err(StoreError::database)?;
        write.set_quick_repair(true);
        Ok(write)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the last ticks of a history could not be written");
        }
    }
}

fn put(write: &redb::WriteTransaction, table: TableDefinition<'_, u64, &[u8]>, seq: u64, value: &[u8]) -> Result<u64, StoreError> {
    let mut table = write.open_table(table).map_err(StoreError::database)?;
    table.insert(seq, value).map_err(StoreError::database)?;
    Ok(codec::footprint(value.len()))
}

/// Makes the tables of a new file, or checks that they are ours; returns the next sequence number.
fn prepare(db: &Database) -> Result<u64, String> {
    let tell = |e: redb::Error| e.to_string();
    let write = db.begin_write().map_err(|e| tell(e.into()))?;
    let names: Vec<String> = write.list_tables().map_err(|e| tell(e.into()))?.map(|t| redb::TableHandle::name(&t).to_owned()).collect();
    if !names.is_empty() && !names.iter().any(|n| n == "meta") {
        return Err("is a database of something else".into());
    }
    let next_seq = {
        let mut meta = write.open_table(META).map_err(|e| tell(e.into()))?;
        let layout = meta.get("layout").map_err(|e| tell(e.into()))?.map(|v| v.value());
        match layout {
            None if !names.is_empty() => return Err("is a database of something else".into()),
            None => drop(meta.insert("layout", LAYOUT).map_err(|e| tell(e.into()))?),
            Some(LAYOUT) => {}
            Some(other) => return Err(format!("has layout {other}, this agent knows {LAYOUT}")),
        }
        write.open_table(SESSIONS).map_err(|e| tell(e.into()))?;
        write.open_table(DECISIONS).map_err(|e| tell(e.into()))?;
        write.open_table(ACTIONS).map_err(|e| tell(e.into()))?;
        let samples = write.open_table(SAMPLES).map_err(|e| tell(e.into()))?;
        let last = samples.last().map_err(|e| tell(e.into()))?.map(|(seq, _)| seq.value());
        // Numbers go on after retention has emptied the table, too.
        let next = last.map_or(0, |seq| seq + 1).max(meta.get("next_seq").map_err(|e| tell(e.into()))?.map_or(0, |v| v.value()));
        next.max(1)
    };
    write.commit().map_err(|e| tell(e.into()))?;
    Ok(next_seq)
}

/// Why a file cannot be opened, in words that name it.
fn refuse(path: &Path, error: redb::DatabaseError) -> StoreError {
    use redb::{DatabaseError, StorageError};
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::InUse { path: path.into() },
        DatabaseError::Storage(StorageError::Io(e)) if e.kind() != std::io::ErrorKind::InvalidData => {
            StoreError::io(path, "cannot be opened", &e)
        }
        other => StoreError::unreadable(path, format!("is not a history or is damaged ({other})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Mode;
    use crate::record::ActionKind;
    use foreshadow_brain::Settings;

    const FOREVER: Duration = Duration::from_secs(1 << 32);

    fn store(dir: &tempfile::TempDir, keep: Duration, max_bytes: u64) -> Store {
        Store::open(&dir.path().join("h.redb"), Limits { keep, max_bytes }).unwrap()
    }

    fn session() -> Session {
        Session {
            id: 0,
            started_ms: 1,
            workload: "w".into(),
            mode: Mode::Observe,
            settings: Settings::default(),
            warm_from_seq: 0,
            first_seq: 0,
            version: "v".into(),
        }
    }

    fn sample(at_ms: u64) -> Sample {
        Sample { at_ms, interval_ms: 1_000, ..Sample::default() }
    }

    fn action(at_ms: u64) -> Action {
        Action { at_ms, kind: ActionKind::AdoptFloor { replicas: 3 }, reason: "r".into(), applied: true }
    }

    #[test]
    fn age_bounds_the_history_in_small_steps() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(&dir, Duration::from_secs(10), u64::MAX);
        s.begin_session(session(), None).unwrap();
        for second in 0..30 {
            s.append(&sample(second * 1_000), &Decision::default(), &[action(second * 1_000)]).unwrap();
        }
        let kept = s.recent(0, 1_000).unwrap();
        assert_eq!((kept.first().unwrap().1.at_ms, kept.len()), (19_000, 11));
        assert_eq!(s.recent_actions(1_000).unwrap().len(), 11, "actions go with their sample");
        drop(s);
        assert_eq!(store(&dir, FOREVER, u64::MAX).next_seq(), 31, "numbers go on");
    }

    #[test]
    fn size_bounds_the_history_and_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let bound = 256 << 10;
        let mut s = store(&dir, FOREVER, bound);
        s.begin_session(session(), None).unwrap();
        let noise: String = (0_u64..400).map(|i| format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        for second in 0..300 {
            let actions = [Action { reason: format!("{second}{noise}"), ..action(second) }];
            s.append(&sample(second), &Decision::default(), &actions).unwrap();
        }
        let kept = s.recent(0, 1_000).unwrap().len();
        assert!((30..200).contains(&kept), "{kept}");
        drop(s);
        let file = std::fs::metadata(dir.path().join("h.redb")).unwrap().len();
        assert!(file <= 4 * bound, "{file} bytes");
    }

    #[test]
    fn sessions_say_what_they_were_warmed_with() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(&dir, FOREVER, u64::MAX);
        assert_eq!(s.begin_session(session(), None).map(|s| (s.id, s.warm_from_seq, s.first_seq)).unwrap(), (1, 1, 1));
        let numbers: Vec<u64> = (0..5).map(|i| s.append(&sample(i), &Decision::default(), &[]).unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        let warm = s.recent(2, 2).unwrap();
        assert_eq!(warm.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [4, 5], "the newest, oldest first");
        let second = s.begin_session(session(), Some(warm[0].0)).unwrap();
        assert_eq!((second.id, second.warm_from_seq, second.first_seq), (2, 4, 6));
    }

    #[test]
    fn samples_of_another_agent_are_taken_over_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = store(&dir, FOREVER, u64::MAX);
        s.append(&sample(1_000), &Decision::default(), &[]).unwrap();
        s.adopt(&[sample(2_000), sample(3_000)]).unwrap();
        s.append(&sample(4_000), &Decision::default(), &[]).unwrap();
        let kept: Vec<(u64, u64)> = s.recent(0, 10).unwrap().into_iter().map(|(seq, s)| (seq, s.at_ms)).collect();
        assert_eq!(kept, [(1, 1_000), (2, 2_000), (3, 3_000), (4, 4_000)]);
        drop(s);
        assert_eq!(store(&dir, FOREVER, u64::MAX).next_seq(), 5);
    }

    #[test]
    fn one_of_many_histories_waits_for_the_disk_with_actions_and_now_and_then() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("h.redb"), dir.path().join("killed.redb"));
        let limits = Limits { keep: FOREVER, max_bytes: u64::MAX };
        let mut s = Store::open_small(&path, limits, 1 << 20).unwrap();
        // What a kill would leave: the file as the disk has it.
        let left = |s: &mut Store, ticks: std::ops::Range<u64>, actions: &[Action]| {
            for t in ticks {
                s.append(&sample(t * 1_000), &Decision::default(), actions).unwrap();
            }
            std::fs::copy(&path, &copy).unwrap();
            Store::open(&copy, limits).unwrap().next_seq()
        };
        assert_eq!(left(&mut s, 1..10, &[]), 1, "nine ticks in memory");
        assert_eq!(left(&mut s, 10..11, &[]), 11, "the tenth takes them along");
        let action =
            Action { at_ms: 11_000, kind: ActionKind::Resize { from: "1".into(), to: "2".into() }, reason: "near".into(), applied: true };
        assert_eq!(left(&mut s, 11..12, &[action]), 12, "an action waits for nobody");
        let kind = ActionKind::SetFraction { fraction: 0.1, ttl_s: 10.0, proxies: 1, renewal: false };
        let told = Action { at_ms: 12_000, kind, reason: "more copies".into(), applied: true };
        assert_eq!(left(&mut s, 12..14, &[told]), 12, "what falls away by itself does not hurry");
        drop(s);
        assert_eq!(Store::open(&path, limits).unwrap().next_seq(), 14, "an end in order loses nothing");
    }

    #[test]
    fn a_database_of_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.redb");
        let db = Database::create(&path).unwrap();
        let write = db.begin_write().unwrap();
        write.open_table(TableDefinition::<&str, u64>::new("recipes")).unwrap();
        write.commit().unwrap();
        drop(db);
        let error = Store::open(&path, Limits { keep: FOREVER, max_bytes: 1 }).unwrap_err().to_string();
        assert!(error.contains("h.redb") && error.contains("something else"), "{error}");
    }
}
