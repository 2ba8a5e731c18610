//! A client connection of HTTP/2, driven to its end.

use super::watched::Watched;
use super::{LATE, Serving, head_bytes};
use crate::config::model::HttpManager;
use crate::executor::LocalExecutor;
use crate::listener::gather::Gather;
use crate::upstream::request::BoxError;
use crate::worker::connections::Order;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// Streams at once on a connection.
const STREAMS: u32 = 1024;

/// Serves it.
///
/// # Errors
/// When it breaks, or does not keep to the protocol.
pub async fn run(it: &Rc<Serving>, watched: Watched, manager: &HttpManager) -> Result<(), BoxError> {
    let settings = &manager.connection.http2;
    let mut builder = http2::Builder::new(LocalExecutor);
    builder.timer(TokioTimer::new()).max_header_list_size(head_bytes(manager) as u32);
    builder.max_concurrent_streams(settings.max_streams.unwrap_or(STREAMS));
    if let Some(bytes) = it.buffer_limit {
        builder.max_send_buf_size(bytes as usize);
    }
    if let Some(bytes) = settings.stream_window {
        builder.initial_stream_window_size(bytes);
    }
    if let Some(bytes) = settings.connection_window {
        builder.initial_connection_window_size(bytes);
    }
    if let Some((interval, timeout)) = settings.keepalive {
        builder.keep_alive_interval(interval).keep_alive_timeout(timeout);
    }
    if settings.allow_connect {
        builder.enable_connect_protocol();
    }
    let io = TokioIo::new(Gather::new(watched));
    let mut served = pin!(builder.serve_connection(io, service_fn(|request| it.clone().answer(request, true))));
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        match it.connection.order(cx.waker()) {
            Order::Finish if !finishing => {
                finishing = true;
                served.as_mut().graceful_shutdown();
            }
            Order::Cut => return Poll::Ready(Ok(Err(LATE))),
            _ => {}
        }
        served.as_mut().poll(cx).map_ok(Ok)
    })
    .await;
    match ended {
        Ok(ended) => ended.map_err(BoxError::from),
        Err(error) => {
            if broke_protocol(&error) {
                it.stats.downstream.events.add("downstream_cx_protocol_error");
            }
            Err(error.into())
        }
    }
}

/// Whether the client did not keep to the protocol, as the codec saw it.
fn broke_protocol(error: &hyper::Error) -> bool {
    let h2 = std::error::Error::source(error).and_then(|e| e.downcast_ref::<h2::Error>());
    h2.is_some_and(|e| e.is_library() && (e.is_go_away() || e.is_reset()) && e.reason() != Some(h2::Reason::NO_ERROR))
}
