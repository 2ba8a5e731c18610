//! Access logs: one line an exchange, made when it ends and written by a thread of its own.
//!
//! A worker appends lines to a buffer of each target; buffers go to the [`writer`] when they are full and at every sweep. Promises: the request path
//! never waits for a disk; what does not fit into the bounds is dropped whole line by whole line, and counted. Called by the request path.

pub mod writer;

use crate::config::model::{AccessLog, LogTarget};
use crate::error::ProxyError;
use crate::format::Wanted;
use crate::format::record::Record;
use crate::stats::Counter;
use bytes::Bytes;
use http_body::Frame;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use writer::Sender;

/// A buffer of this size goes to the writer at once.
const FULL: usize = 32 << 10;
/// A buffer that the writer does not take may grow to this size.
const MOST: usize = 1 << 20;

/// The buffers of one worker.
#[derive(Debug)]
pub struct Outs {
    writer: Sender,
    all: RefCell<BTreeMap<LogTarget, Rc<Out>>>,
}

/// One worker's buffer towards one target.
#[derive(Debug)]
pub struct Out {
    target: LogTarget,
    writer: Sender,
    lines: RefCell<Vec<u8>>,
    waiting: Cell<u64>,
    /// Lines written or handed on.
    pub written: Counter,
    /// Lines dropped.
    pub dropped: Counter,
}

/// A log with its buffer.
#[derive(Debug, Clone)]
pub struct Logger {
    log: Arc<AccessLog>,
    out: Rc<Out>,
}

impl Outs {
    /// Buffers towards this writer.
    pub fn new(writer: Sender) -> Self {
        Self { writer, all: RefCell::default() }
    }

    /// A log and its buffer.
    pub fn logger(&self, log: &Arc<AccessLog>) -> Logger {
        let mut all = self.all.borrow_mut();
        let out = all.entry(log.target.clone()).or_insert_with(|| Rc::new(Out::new(log.target.clone(), self.writer.clone())));
        Logger { log: log.clone(), out: out.clone() }
    }

    /// Hands everything to the writer that it takes.
    pub fn flush(&self) {
        self.all.borrow().values().for_each(|out| out.flush());
    }

    /// Lines written and dropped.
    pub fn counts(&self) -> (u64, u64) {
        let all = self.all.borrow();
        (all.values().map(|o| o.written.get()).sum(), all.values().map(|o| o.dropped.get()).sum())
    }
}

impl Out {
    fn new(target: LogTarget, writer: Sender) -> Self {
        Self { target, writer, lines: RefCell::default(), waiting: Cell::new(0), written: Counter::default(), dropped: Counter::default() }
    }

    fn add(&self, line: &str) {
        let size = self.lines.borrow().len();
        if size + line.len() > MOST {
            self.flush();
            if self.lines.borrow().len() + line.len() > MOST {
                self.dropped.add(1);
                return;
            }
        }
        self.lines.borrow_mut().extend_from_slice(line.as_bytes());
        self.waiting.set(self.waiting.get() + 1);
        if size + line.len() >= FULL {
            self.flush();
        }
    }

    fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.is_empty() {
            return;
        }
        match self.writer.send(&self.target, std::mem::take(&mut *lines)) {
            Ok(()) => self.written.add(self.waiting.take()),
            // It is busy: kept for the next time, within the bound.
            Err(back) => *lines = back,
        }
    }
}

/// The record of one exchange and the logs that want it; written when dropped.
#[derive(Debug)]
pub struct Logged {
    /// What is known.
    pub record: Record,
    /// Headers to keep.
    pub wanted: Arc<Wanted>,
    loggers: Rc<[Logger]>,
    complete: bool,
}

impl Logged {
    /// Opens it.
    pub fn new(record: Record, wanted: Arc<Wanted>, loggers: Rc<[Logger]>) -> Self {
        Self { record, wanted, loggers, complete: false }
    }

    /// The request failed.
    pub fn failed(&mut self, error: ProxyError) {
        (self.record.flag, self.record.details) = (error.flag(), error.details());
    }

    /// The answer is complete.
    pub fn complete(&mut self) {
        if !self.complete {
            self.complete = true;
            self.record.duration = Some(self.record.arrived.elapsed());
        }
    }

    /// A frame of the answer went to the client.
    pub fn frame(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.record.bytes_sent += data.len() as u64;
        } else if let Some(trailers) = frame.trailers_ref() {
            self.record.trailers(trailers, &self.wanted);
        }
    }

    /// The answer broke off.
    pub fn broken(&mut self, error: Option<&ProxyError>) {
        if let Some(error) = error {
            self.record.flag = error.flag();
            self.record.details = error.details().replace("before_response", "after_response").into();
        }
        self.complete();
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        if !self.complete {
            (self.record.flag, self.record.details) = ("DC", "downstream_remote_disconnect".into());
            self.complete();
        }
        for Logger { log, out } in self.loggers.iter() {
            if log.filter.as_ref().is_none_or(|f| f.passes(&self.record)) {
                out.add(&log.format.text(&self.record));
            }
        }
    }
}
