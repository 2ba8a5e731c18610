//! What a backend does with a request.

use bytes::Bytes;

/// One thing that a backend does.
#[derive(Debug, Clone)]
pub enum Act {
    /// Writes these bytes (HTTP/1.1) as they are.
    Raw(Bytes),
    /// Waits, in milliseconds.
    Pause(u64),
    /// Closes the connection.
    Close,
    /// Closes it with a TCP reset; HTTP/2: resets the stream.
    Reset,
    /// Never goes on.
    Stall,
    /// Sends back whatever comes, until the end (after an upgrade).
    Echo,
    /// An answer made of parts; for HTTP/1.1 written with a content length, or chunked when there are trailers.
    Answer(Answer),
}

/// An answer made of parts.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body; None is the backend's name.
    pub body: Option<Bytes>,
    /// Trailers.
    pub trailers: Vec<(&'static str, &'static str)>,
}

/// What a backend does with a request.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Whether the body is read before anything is done.
    pub reads_body: bool,
    /// What it does.
    pub acts: Vec<Act>,
}

/// An answer with this status.
pub fn reply(status: u16) -> Reply {
    let answer = Answer { status, headers: Vec::new(), body: None, trailers: Vec::new() };
    Reply { reads_body: true, acts: vec![Act::Answer(answer)] }
}

impl Default for Reply {
    fn default() -> Self {
        reply(200)
    }
}

impl Reply {
    /// Exactly these things.
    pub fn does(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { reads_body: true, acts: acts.into_iter().collect() }
    }

    /// These bytes.
    pub fn raw(text: &str) -> Self {
        Self::does([Act::Raw(Bytes::copy_from_slice(text.as_bytes()))])
    }

    fn answer(mut self, change: impl FnOnce(&mut Answer)) -> Self {
        if let Some(Act::Answer(answer)) = self.acts.iter_mut().find(|a| matches!(a, Act::Answer(_))) {
            change(answer);
        }
        self
    }

    /// One more header.
    pub fn header(self, name: &'static str, value: &str) -> Self {
        self.answer(|a| a.headers.push((name, value.to_owned())))
    }

    /// The body.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.answer(|a| a.body = Some(body.into()))
    }

    /// One more trailer.
    pub fn trailer(self, name: &'static str, value: &'static str) -> Self {
        self.answer(|a| a.trailers.push((name, value)))
    }

    /// After this time, in milliseconds.
    pub fn after(mut self, ms: u64) -> Self {
        self.acts.insert(0, Act::Pause(ms));
        self
    }

    /// And then this.
    pub fn then(mut self, act: Act) -> Self {
        self.acts.push(act);
        self
    }

    /// Without reading the body first.
    pub fn early(mut self) -> Self {
        self.reads_body = false;
        self
    }
}
