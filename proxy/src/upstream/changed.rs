//! The endpoint's side of a connection that has changed its protocol (101).

use super::answer::{Flight, UpstreamBody};
use crate::error::ProxyError;
use crate::listener::stream::Stream;
use bytes::Bytes;
use std::time::Duration;

/// What is left of an exchange after the answer 101: a stream of bytes, and the account.
#[derive(Debug)]
pub struct Changed {
    /// The connection to the endpoint.
    pub stream: Stream,
    /// What it has sent already.
    pub read: Bytes,
    /// The account, open until the tunnel ends.
    pub flight: Flight,
    /// How long nothing may move.
    pub idle: Option<Duration>,
}

impl Changed {
    /// Takes it out of an answer of status 101.
    ///
    /// # Errors
    /// When the connection broke meanwhile.
    pub async fn of(body: UpstreamBody, idle: Option<Duration>) -> Result<Self, ProxyError> {
        let (connection, flight) = body.into_parts();
        let Some(connection) = connection else { return Err(flight.fail(ProxyError::Upgrade)) };
        match connection.into_stream().await {
            Some((stream, read)) => Ok(Self { stream, read, flight, idle }),
            None => Err(flight.fail(ProxyError::Reset("connection termination"))),
        }
    }
}
