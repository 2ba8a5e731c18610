//! A client connection of HTTP/1.1. hyper speaks it while something moves; between requests, a connection that rests is a socket and an account only:
//! hyper's buffers (16 KiB and more) and the future of a request are let go, and made anew when the next byte arrives. Requests that follow each other
//! within a second never see this.
//!
//! Heads that do not come in time are answered here, and requests that hyper refuses are written down: neither ever becomes a request.

use super::watched::Watched;
use super::{LATE, Serving, head_bytes};
use crate::config::model::HttpManager;
use crate::error::ProxyError;
use crate::http::raw;
use crate::listener::stream::Stream;
use crate::stack;
use crate::upstream::request::BoxError;
use crate::worker::connections::Order;
use crate::worker::tunnel;
use bytes::Bytes;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// Most headers that hyper parses without making room for them at every request.
const FREE_HEADERS: u32 = 100;
/// How long a connection that ends may take to take its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a connection's turn with hyper ends.
enum Turn {
    /// For good.
    Over,
    /// Nothing is under way.
    Rest(Watched),
    /// The next request's head takes too long.
    Late(Watched),
}

/// Serves it.
///
/// # Errors
/// When it breaks, or does not keep to the protocol.
pub async fn run(it: &Rc<Serving>, mut watched: Watched, manager: &HttpManager) -> Result<(), BoxError> {
    loop {
        // Large, and gone while the connection rests.
        match Box::pin(turn(it, watched, manager)).await? {
            Turn::Over => return Ok(()),
            Turn::Late(mut watched) => {
                Box::pin(late(it, &mut watched.stream)).await;
                return Err(LATE.into());
            }
            Turn::Rest(resting) => watched = resting,
        }
        if !rest(it, &mut watched).await {
            // TLS says farewell.
            let _ = tokio::time::timeout(LAST_WORDS, watched.stream.shutdown()).await;
            return Ok(());
        }
    }
}

/// Answers a head that did not come in time.
pub async fn late(it: &Serving, stream: &mut Stream) {
    if let Some(answer) = unheard(it, ProxyError::HeadTimeout).await {
        // A client that does not take it loses it.
        let _ = tokio::time::timeout(LAST_WORDS, stream.write_all(&answer)).await;
    }
}

/// Waits for the client's next byte; whether it came.
async fn rest(it: &Serving, watched: &mut Watched) -> bool {
    it.connection.rests(true);
    it.stats.downstream.resting.add(1);
    it.connections.eased();
    let more = poll_fn(|cx| {
        if it.connection.order(cx.waker()) > Order::Stay {
            return Poll::Ready(false);
        }
        watched.poll_next(cx)
    })
    .await;
    it.stats.downstream.resting.sub(1);
    it.connection.rests(false);
    more
}

async fn turn(it: &Rc<Serving>, watched: Watched, manager: &HttpManager) -> Result<Turn, BoxError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(head_bytes(manager)).header_read_timeout(None);
    if manager.max_headers_count != FREE_HEADERS {
        builder.max_headers(manager.max_headers_count as usize);
    }
    let mut served = builder.serve_connection(TokioIo::new(watched), service_fn(|request| it.clone().answer(request, false)));
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        let order = it.connection.order(cx.waker());
        if order == Order::Finish && !finishing {
            finishing = true;
            Pin::new(&mut served).graceful_shutdown();
        }
        if order == Order::Cut {
            return Poll::Ready(Ok(Order::Cut));
        }
        match Pin::new(&mut served).poll(cx) {
            Poll::Pending if !finishing && it.client.uploads.get() == 0 && it.connection.may_rest() => Poll::Ready(Ok(Order::Stay)),
            polled => polled.map_ok(|()| Order::Finish),
        }
    })
    .await;
    let over = match ended {
        Ok(over) => over,
        Err(error) => {
            if let Some(status) = refused(&error) {
                // hyper has answered it.
                Box::pin(unheard(it, ProxyError::Codec(status))).await;
            }
            return Err(error.into());
        }
    };
    let parts = served.into_parts();
    let stream = parts.io.into_inner();
    if let Some(changed) = it.changed.take() {
        let _busy = it.connection.begin(false);
        Box::pin(tunnel::run(stream.stream, parts.read_buf, *changed)).await;
        return Ok(Turn::Over);
    }
    Ok(match over {
        // Copied, or the empty rest would hold the whole buffer.
        Order::Stay => Turn::Rest(Watched { first: Bytes::copy_from_slice(&parts.read_buf), ..stream }),
        Order::Cut => Turn::Late(stream),
        Order::Finish => Turn::Over,
    })
}

/// How hyper answered what it could not read as a request.
fn refused(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_too_large() {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    error.is_parse().then_some(StatusCode::BAD_REQUEST)
}

/// Counts and writes down what never became a request; the bytes of its answer.
async fn unheard(it: &Serving, why: ProxyError) -> Option<Bytes> {
    let (state, manager) = it.current()?;
    let answer = stack::unheard(&state, &it.stats, manager, &it.client, why);
    Some(raw::bytes(answer).await)
}
