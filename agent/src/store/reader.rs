//! Reads a whole history in order, from the database (also while an agent writes it) or from its export.
//!
//! Called by `replay` and `export`. Promises: records come by sequence number, a session before its first sample; memory does not
//! grow with the history.

use super::{ACTIONS, DECISIONS, META, SAMPLES, SESSIONS, StoreError, codec, refuse};
use crate::record::{Record, Session};
use redb::{ReadOnlyDatabase, ReadableDatabase};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Every redb file begins with this.
const MAGIC: &[u8; 4] = b"redb";
/// Longest line of an export.
const LONGEST_LINE: u64 = 8 << 20;

/// A history to be read.
pub enum Reader {
    /// The database.
    Database(PathBuf, ReadOnlyDatabase),
    /// Its export: JSON lines.
    Export(PathBuf, BufReader<File>),
}

impl Reader {
    /// Opens either form, told apart by their first bytes.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let io = |e: std::io::Error| StoreError::io(path, "cannot be read", &e);
        let mut file = File::open(path).map_err(io)?;
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(MAGIC.len() as u64).read_to_end(&mut head).map_err(io)?;
        if head == MAGIC {
            drop(file);
            let mut builder = redb::Builder::new();
            builder.set_concurrency_mode(redb::ConcurrencyMode::SingleWriter);
            let db = match builder.open_read_only(path) {
                // Its writer was killed: opening it for writing once brings the file in order.
                Err(redb::DatabaseError::RepairAborted) => {
                    drop(builder.open(path).map_err(|e| refuse(path, e))?);
                    builder.open_read_only(path)
                }
                opened => opened,
            };
            return Ok(Self::Database(path.into(), db.map_err(|e| refuse(path, e))?));
        }
        Ok(Self::Export(path.into(), BufReader::new(File::open(path).map_err(io)?)))
    }

    /// Hands every record to `each`, in order, until it says stop (`false`).
    pub fn for_each(self, mut each: impl FnMut(Record) -> bool) -> Result<(), StoreError> {
        match self {
            Self::Database(path, db) => from_database(&path, &db, &mut each),
            Self::Export(path, lines) => from_export(&path, lines, &mut each),
        }
    }
}

fn from_export(path: &Path, mut lines: BufReader<File>, each: &mut dyn FnMut(Record) -> bool) -> Result<(), StoreError> {
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        let read = (&mut lines).take(LONGEST_LINE).read_line(&mut line).map_err(|e| StoreError::unreadable(path, e.to_string()))?;
        if read == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let record = serde_json::from_str(&line)
            .map_err(|e| StoreError::unreadable(path, format!("line {number} is not a record of a history ({e})")))?;
        if !each(record) {
            break;
        }
    }
    Ok(())
}

fn from_database(path: &Path, db: &ReadOnlyDatabase, each: &mut dyn FnMut(Record) -> bool) -> Result<(), StoreError> {
    let read = db.begin_read().map_err(StoreError::database)?;
    let ours = read.open_table(META).is_ok_and(|meta| matches!(meta.get("layout"), Ok(Some(_))));
    if !ours {
        return Err(StoreError::unreadable(path, "is a database of something else"));
    }
    let mut sessions: Vec<Session> = Vec::new();
    for entry in read.open_table(SESSIONS).map_err(StoreError::database)?.range::<u64>(..).map_err(StoreError::database)? {
        let (id, value) = entry.map_err(StoreError::database)?;
        sessions.push(codec::decode(id.value(), value.value())?);
    }
    let decisions = read.open_table(DECISIONS).map_err(StoreError::database)?;
    let actions = read.open_table(ACTIONS).map_err(StoreError::database)?;
    let samples = read.open_table(SAMPLES).map_err(StoreError::database)?;
    let mut coming = sessions.into_iter().peekable();
    for entry in samples.range::<u64>(..).map_err(StoreError::database)? {
        let (key, value) = entry.map_err(StoreError::database)?;
        let seq = key.value();
        while let Some(session) = coming.next_if(|s| s.first_seq <= seq) {
            if !each(Record::Session { session }) {
                return Ok(());
            }
        }
        let mut records = vec![Record::Sample { seq, sample: codec::decode(seq, value.value())? }];
        if let Some(decision) = decisions.get(seq).map_err(StoreError::database)? {
            records.push(Record::Decision { seq, decision: codec::decode(seq, decision.value())? });
        }
        for action in actions.range((seq, 0)..=(seq, u32::MAX)).map_err(StoreError::database)? {
            let (_, value) = action.map_err(StoreError::database)?;
            records.push(Record::Action { seq, action: codec::decode(seq, value.value())? });
        }
        if !records.into_iter().all(&mut *each) {
            return Ok(());
        }
    }
    Ok(())
}
