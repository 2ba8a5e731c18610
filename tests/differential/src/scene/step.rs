//! What the client does.

use super::Role;
use bytes::Bytes;

/// One step of the client.
#[derive(Debug, Clone)]
pub enum Step {
    /// Opens a new connection; the first one opens by itself.
    Connect,
    /// Sends bytes as they are.
    Send(Bytes),
    /// Reads one answer to its end, interim answers before it included.
    Answer {
        /// Its request was HEAD: there is no body.
        to_head: bool,
    },
    /// Reads one interim answer (1xx).
    Interim,
    /// Reads so many bytes.
    Read(usize),
    /// Reads until the other side closes.
    ToEnd,
    /// Says that nothing more is sent.
    Finish,
    /// Closes.
    Close,
    /// Closes with a TCP reset.
    Reset,
    /// Waits, in milliseconds.
    Pause(u64),
    /// Waits until a backend has had so many requests.
    Until(Role, usize),
    /// One HTTP/2 request on the kept HTTP/2 connection, and its answer.
    H2(H2Request),
    /// A POST to the admin listener.
    Admin(String),
    /// The same request so many times over one connection; only the statuses are noted, in one line.
    Many(usize, String),
    /// Sends so many requests at once, each on a connection of its own; their answers' statuses are noted, sorted.
    AtOnce(usize, String),
}

/// A request over HTTP/2.
#[derive(Debug, Clone)]
pub struct H2Request {
    /// Method.
    pub method: &'static str,
    /// Path.
    pub path: String,
    /// Authority.
    pub authority: &'static str,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body; None ends the stream with the head.
    pub body: Option<Bytes>,
    /// Trailers after the body.
    pub trailers: Vec<(&'static str, &'static str)>,
    /// Resets the stream after this many milliseconds instead of reading the answer.
    pub reset_after: Option<u64>,
}

/// `GET path` over HTTP/2.
pub fn h2_get(path: &str) -> H2Request {
    h2_request("GET", path)
}

/// Any request over HTTP/2.
pub fn h2_request(method: &'static str, path: &str) -> H2Request {
    H2Request {
        method,
        path: path.into(),
        authority: "example.com",
        headers: Vec::new(),
        body: None,
        trailers: Vec::new(),
        reset_after: None,
    }
}

impl H2Request {
    /// One more header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// One more trailer.
    pub fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        self.trailers.push((name, value));
        self
    }

    /// The authority.
    pub fn authority(mut self, authority: &'static str) -> Self {
        self.authority = authority;
        self
    }

    /// Resets the stream after so many milliseconds.
    pub fn reset_after(mut self, ms: u64) -> Self {
        self.reset_after = Some(ms);
        self
    }
}

impl From<H2Request> for Step {
    fn from(request: H2Request) -> Self {
        Self::H2(request)
    }
}

impl Step {
    /// With placeholders in its text filled in.
    pub fn filled(self, fill: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Send(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) if text.contains('$') => Self::Send(fill(text).into()),
                _ => Self::Send(bytes),
            },
            Self::Admin(path) => Self::Admin(fill(&path)),
            other => other,
        }
    }
}
