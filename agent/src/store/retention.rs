//! Lets the oldest records go, a few a tick, by age and by size. Called inside the transaction of every append.

use super::{ACTIONS, DECISIONS, Limits, META, SAMPLES, SESSIONS, StoreError, codec};
use redb::{ReadableTable, WriteTransaction};

/// Most samples that one tick removes: far above what one tick adds, and a bounded step.
const STEP: usize = 64;

/// Accounts for `added` bytes and removes what is too old or too much.
pub fn sweep(write: &WriteTransaction, limits: Limits, now_ms: u64, added: u64) -> Result<(), StoreError> {
    let mut meta = write.open_table(META).map_err(StoreError::database)?;
    let before = meta.get("bytes").map_err(StoreError::database)?.map_or(0, |v| v.value());
    let mut bytes = before + added;
    let oldest_kept = now_ms.saturating_sub(limits.keep.as_millis() as u64);
    let mut samples = write.open_table(SAMPLES).map_err(StoreError::database)?;
    let mut decisions = write.open_table(DECISIONS).map_err(StoreError::database)?;
    let mut first_kept = None;
    let next_seq = samples.last().map_err(StoreError::database)?.map_or(0, |(seq, _)| seq.value() + 1);
    for _ in 0..STEP {
        let oldest = samples.first().map_err(StoreError::database)?.map(|(seq, v)| (seq.value(), codec::at_ms(v.value()), v.value().len()));
        let Some((seq, at_ms, len)) = oldest else { break };
        if seq + 1 >= next_seq || (at_ms >= oldest_kept && bytes <= limits.max_bytes) {
            break;
        }
        samples.remove(seq).map_err(StoreError::database)?;
        bytes = bytes.saturating_sub(codec::footprint(len));
        if let Some(decision) = decisions.remove(seq).map_err(StoreError::database)? {
            bytes = bytes.saturating_sub(codec::footprint(decision.value().len()));
        }
        first_kept = Some(seq + 1);
    }
    if let Some(first_kept) = first_kept {
        bytes = bytes.saturating_sub(remove_actions(write, first_kept)?);
        remove_sessions(write, first_kept)?;
    }
    meta.insert("bytes", bytes).map_err(StoreError::database)?;
    meta.insert("next_seq", next_seq).map_err(StoreError::database)?;
    Ok(())
}

fn remove_actions(write: &WriteTransaction, first_kept: u64) -> Result<u64, StoreError> {
    let mut actions = write.open_table(ACTIONS).map_err(StoreError::database)?;
    let mut freed = 0;
    loop {
        let oldest = actions.first().map_err(StoreError::database)?.map(|(k, v)| (k.value(), v.value().len()));
        let Some((key, len)) = oldest.filter(|(key, _)| key.0 < first_kept) else { break };
        actions.remove(key).map_err(StoreError::database)?;
        freed += codec::footprint(len);
    }
    Ok(freed)
}

/// Removes sessions that ended before the first kept sample: all whose successor began at or before it.
fn remove_sessions(write: &WriteTransaction, first_kept: u64) -> Result<(), StoreError> {
    let mut sessions = write.open_table(SESSIONS).map_err(StoreError::database)?;
    loop {
        let mut oldest = sessions.range::<u64>(..).map_err(StoreError::database)?;
        let (Some(first), Some(second)) = (oldest.next(), oldest.next()) else { return Ok(()) };
        let (first, second) = (first.map_err(StoreError::database)?, second.map_err(StoreError::database)?);
        let session: crate::record::Session = codec::decode(second.0.value(), second.1.value())?;
        let id = first.0.value();
        drop((first, second, oldest));
        if session.first_seq > first_kept {
            return Ok(());
        }
        sessions.remove(id).map_err(StoreError::database)?;
    }
}
