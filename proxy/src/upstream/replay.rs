//! A client's body that may be sent more than once: what passes is kept, up to a bound, for another try.
//!
//! The body is read from the client once, whoever asks; a further try gets what was kept and goes on where the one before it stopped. A body beyond
//! the bound is let go and cannot be sent again; production goes on as if nothing had been.

use super::upload::{BoxError, ClientBody, Upload};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The one place where the body is read.
#[derive(Debug)]
pub struct Source {
    client: ClientBody,
    kept: Vec<Bytes>,
    held: usize,
    most: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    state: Keeping,
    /// The try that may read; those before it may not any more.
    turn: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Yes,
    /// There will be no further try.
    Over,
    /// It was too large.
    TooLarge,
}

/// The body as one try sends it.
#[derive(Debug)]
pub struct Replay {
    source: Rc<RefCell<Source>>,
    at: usize,
    /// The trailers were given.
    done: bool,
    turn: u32,
}

impl Source {
    /// Reads `client`, keeps at most `most` bytes.
    pub fn new(client: ClientBody, most: usize) -> Rc<RefCell<Self>> {
        let too_large = client.size_hint().lower() > most as u64;
        let state = if too_large { Keeping::TooLarge } else { Keeping::Yes };
        let it = Self { client, kept: Vec::new(), held: 0, most, trailers: None, ended: false, state, turn: 0 };
        Rc::new(RefCell::new(it))
    }

    /// Whether everything read so far can be sent again.
    pub fn is_whole(&self) -> bool {
        self.state == Keeping::Yes
    }

    /// Whether it was given up for its size.
    pub fn is_too_large(&self) -> bool {
        self.state == Keeping::TooLarge
    }

    /// There will be no further try: nothing more is kept.
    pub fn settle(&mut self) {
        if self.state == Keeping::Yes {
            self.state = Keeping::Over;
        }
    }

    fn keep(&mut self, data: &Bytes) {
        if self.state != Keeping::Yes {
            return;
        }
        if self.held + data.len() > self.most {
            self.state = Keeping::TooLarge;
            (self.kept, self.held) = (Vec::new(), 0);
            return;
        }
        self.held += data.len();
        self.kept.push(data.clone());
    }
}

impl Replay {
    /// The body for the next try.
    pub fn next(source: &Rc<RefCell<Source>>) -> Self {
        let mut it = source.borrow_mut();
        it.turn += 1;
        Self { source: source.clone(), at: 0, done: false, turn: it.turn }
    }

    /// Reads the next frame: a kept one, or one from the client.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let source = &mut *self.source.borrow_mut();
        if source.turn != self.turn {
            return Poll::Ready(Some(Err("another try sends this body".into())));
        }
        if let Some(kept) = source.kept.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(kept.clone()))));
        }
        if source.ended {
            let trailers = source.trailers.clone().filter(|_| !self.done);
            self.done = true;
            return Poll::Ready(trailers.map(|t| Ok(Frame::trailers(t))));
        }
        let polled = source.client.poll(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    source.keep(data);
                    self.at = source.kept.len();
                }
                if let Some(trailers) = frame.trailers_ref() {
                    source.trailers = Some(trailers.clone());
                    self.done = true;
                }
                source.ended = frame.is_trailers() || source.client.is_end_stream();
            }
            Poll::Ready(None) => source.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    /// Whether the end has been read.
    pub fn is_end_stream(&self) -> bool {
        let source = self.source.borrow();
        source.ended && self.at >= source.kept.len() && (source.trailers.is_none() || self.done)
    }

    /// What is still to come.
    pub fn size_hint(&self) -> SizeHint {
        let source = self.source.borrow();
        let kept: u64 = source.kept.iter().skip(self.at).map(|b| b.len() as u64).sum();
        let rest = source.client.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(kept + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(kept + upper);
        }
        hint
    }

    /// How far the client is.
    pub fn upload(&self) -> Option<Rc<Upload>> {
        Some(self.source.borrow().client.upload())
    }
}
