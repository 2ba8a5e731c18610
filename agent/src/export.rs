//! `export`: a history as JSON lines. `replay` reads them as well as the database.

use crate::cli::{self, Export};
use crate::record::Record;
use crate::store::{Reader, StoreError};
use std::io::{self, BufWriter, Write};

/// Writes every record to standard output; returns the exit code.
pub fn command(args: &Export) -> u8 {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut broken = None;
    let read = Reader::open(&args.history).and_then(|reader| {
        reader.for_each(|record| match line(&mut out, &record) {
            Ok(()) => true,
            Err(e) => {
                broken = Some(e);
                false
            }
        })
    });
    let broken = broken.or_else(|| out.flush().err());
    match (read, broken) {
        (Err(e), _) => fail(&e),
        // Whoever reads us has seen enough.
        (Ok(()), Some(e)) if e.kind() == io::ErrorKind::BrokenPipe => cli::OK,
        (Ok(()), Some(e)) => {
            eprintln!("foreshadow-agent: export: {e}");
            cli::UNAVAILABLE
        }
        (Ok(()), None) => cli::OK,
    }
}

fn line(out: &mut impl Write, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// Says why a history cannot be read; the exit code for that.
pub fn fail(error: &StoreError) -> u8 {
    eprintln!("foreshadow-agent: {error}");
    match error {
        StoreError::Unreadable { .. } | StoreError::Record(..) | StoreError::Database(_) => cli::DATA,
        StoreError::InUse { .. } | StoreError::Io { .. } => cli::UNAVAILABLE,
    }
}
