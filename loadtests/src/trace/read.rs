//! Trace files: comma-separated text, plain or gzip, with or without a heading.
//!
//! Called by users of [`crate::trace`]. Two kinds are told apart by their columns. Counts: a moment and a count a row; a heading may name them
//! (`period,count`, `ts,value`, ...), else they are the first two; a single column of numbers is one count a row. Requests: one row each, when
//! no column is called a count and there are not exactly two. Not here: how moments are read ([`super::time`]) and rows become a series.

use crate::trace::series::Series;
use crate::trace::time;
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file read, unpacked, in bytes.
const LARGEST: u64 = 512 << 20;
/// WorldCup98; source and licence stand in `data/README.md`.
const BUILT_IN: &[u8] = include_bytes!("../../data/worldcup98-excerpt.csv.gz");
const TIME_NAMES: [&str; 9] = ["period", "ts", "time", "timestamp", "date", "datetime", "t", "minute", "second"];
const COUNT_NAMES: [&str; 9] = ["count", "value", "requests", "rps", "hits", "n", "invocations", "rate", "load"];

/// Why a trace cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {problem}", file.display(), line.map(|l| format!(":{l}")).unwrap_or_default())]
pub struct TraceError {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: Option<u64>,
    /// What is wrong, and what was expected.
    pub problem: String,
}

/// Reads a file.
///
/// # Errors
/// With the file, the line and what was expected there.
pub fn read_file(file: &Path) -> Result<Series, TraceError> {
    let fail = |problem: String| TraceError { file: file.into(), line: None, problem };
    let size = std::fs::metadata(file).map_err(|e| fail(e.to_string()))?.len();
    if size > LARGEST {
        return Err(fail(format!("{size} bytes are more than the {LARGEST} that are read")));
    }
    let bytes = std::fs::read(file).map_err(|e| fail(e.to_string()))?;
    read_bytes(&file.display().to_string(), &bytes)
}

/// The trace that ships with the program.
///
/// # Errors
/// Never for the file as shipped.
pub fn built_in() -> Result<Series, TraceError> {
    read_bytes("worldcup98-excerpt.csv.gz", BUILT_IN)
}

/// Reads the bytes of a file, plain or gzip; `name` stands in errors and in the series.
///
/// # Errors
/// With the name, the line and what was expected there.
pub fn read_bytes(name: &str, bytes: &[u8]) -> Result<Series, TraceError> {
    let at = |line: Option<u64>, problem: String| TraceError { file: name.into(), line, problem };
    let text = unpacked(bytes).map_err(|e| at(None, e))?;
    let rows = rows(&text).map_err(|(line, e)| at(Some(line), e))?;
    let Some(columns) = Columns::of(&rows) else {
        return Err(at(None, "holds no rows; expected a time or period and a count a line".into()));
    };
    let body = rows.get(usize::from(columns.heading)..).unwrap_or_default();
    columns.series(name, body).map_err(|(line, e)| at(line, e))
}

fn unpacked(bytes: &[u8]) -> Result<String, String> {
    let mut raw = Vec::new();
    let read = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => MultiGzDecoder::new(bytes).take(LARGEST + 1).read_to_end(&mut raw),
        false => bytes.take(LARGEST + 1).read_to_end(&mut raw),
    };
    read.map_err(|e| format!("cannot be unpacked: {e}"))?;
    if raw.len() as u64 > LARGEST {
        return Err(format!("more than the {LARGEST} bytes that are read"));
    }
    String::from_utf8(raw).map_err(|e| format!("is not text: {e}"))
}

/// A row and its line.
struct Row {
    line: u64,
    fields: csv::StringRecord,
}

fn rows(text: &str) -> Result<Vec<Row>, (u64, String)> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().find(|l| !l.trim().is_empty() && !l.starts_with('#')).unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().find(|d| first.as_bytes().contains(d)).unwrap_or(b',');
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).comment(Some(b'#')).delimiter(delimiter).trim(csv::Trim::All);
    let mut reader = builder.from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let fields = record.map_err(|e| (e.position().map_or(0, csv::Position::line), e.to_string()))?;
        let line = fields.position().map_or(0, csv::Position::line);
        rows.push(Row { line, fields });
    }
    Ok(rows)
}

/// What stands where.
struct Columns {
    heading: bool,
    time: Option<usize>,
    count: Option<usize>,
}

impl Columns {
    fn of(rows: &[Row]) -> Option<Self> {
        let first = &rows.first()?.fields;
        let width = first.len();
        let named = |names: &[&str]| first.iter().position(|f| names.contains(&f.to_ascii_lowercase().as_str()));
        // A heading has no moment in any column.
        let heading = first.iter().all(|f| time::parse(f).is_none());
        let single_number = |row: &Row| row.fields.get(0).is_some_and(|f| f.parse::<f64>().is_ok());
        if width == 1 && rows.get(usize::from(heading)).is_some_and(single_number) {
            return Some(Self { heading, time: None, count: Some(0) });
        }
        let time = if heading { named(&TIME_NAMES).unwrap_or(0) } else { 0 };
        let named_count = if heading { named(&COUNT_NAMES).filter(|c| *c != time) } else { None };
        let count = named_count.or_else(|| (width == 2).then_some(1 - time.min(1)));
        Some(Self { heading, time: Some(time), count })
    }

    fn series(&self, name: &str, rows: &[Row]) -> Result<Series, (Option<u64>, String)> {
        let moment = |i: usize, row: &Row| match self.time {
            None => Ok(i as f64),
            Some(column) => {
                let field = row.fields.get(column).unwrap_or_default();
                let wanted = "expected a Unix time, an ISO date (2023-11-16 18:17:03) or an index";
                time::parse(field).ok_or_else(|| (Some(row.line), format!("{field:?} is no moment; {wanted}")))
            }
        };
        let series = match self.count {
            None => {
                let moments = rows.iter().enumerate().map(|(i, row)| moment(i, row)).collect::<Result<_, _>>()?;
                Series::from_requests(name, moments)
            }
            Some(column) => {
                let row = |(i, row): (usize, &Row)| Ok((moment(i, row)?, count(row, column)?));
                Series::from_counts(name, rows.iter().enumerate().map(row).collect::<Result<_, _>>()?)
            }
        };
        let series = series.map_err(|e| (None, e))?;
        match series.values.iter().sum::<f64>() > 0.0 {
            true => Ok(series),
            false => Err((None, "holds no load: every count is 0".into())),
        }
    }
}

/// The count of a row; None when it is left empty.
fn count(row: &Row, column: usize) -> Result<Option<f64>, (Option<u64>, String)> {
    let Some(field) = row.fields.get(column) else {
        return Err((Some(row.line), format!("expected a time or period and a count, got {} field(s)", row.fields.len())));
    };
    match field.parse::<f64>() {
        _ if field.is_empty() => Ok(None),
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(Some(value)),
        _ => Err((Some(row.line), format!("{field:?} is no count; expected a number of 0 or more"))),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
