//! The account of a request under way, and the body of its answer.
//!
//! [`Flight`] is opened when a request starts and closed exactly once: answered whole, failed for a reason, or abandoned by the client.
//! [`UpstreamBody`] drives its HTTP/1.1 connection while it is read, gives it back when the answer ends, and closes the flight.

use super::connection::H1;
use super::endpoint::EndpointState;
use super::exchange::Answer;
use super::patience::Patience;
use super::request::BoxError;
use super::rtt;
use super::slots::Slot;
use crate::error::ProxyError;
use crate::format::record::Connected;
use crate::stats::{ClusterStats, RouteStats};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The account of one request under way.
#[derive(Debug)]
pub struct Flight {
    stats: Rc<ClusterStats>,
    active: Rc<Cell<u32>>,
    arrived: Instant,
    endpoint: Option<Rc<EndpointState>>,
    slot: Option<Slot>,
    status: StatusCode,
    class: Option<Rc<RouteStats>>,
    tunnel: bool,
    over: bool,
}

impl Flight {
    /// Opens the account.
    pub fn start(stats: &Rc<ClusterStats>, active: &Rc<Cell<u32>>, arrived: Instant) -> Self {
        stats.in_flight.add(1);
        active.set(active.get() + 1);
        Self {
            stats: stats.clone(),
            active: active.clone(),
            arrived,
            endpoint: None,
            slot: None,
            status: StatusCode::OK,
            class: None,
            tunnel: false,
            over: false,
        }
    }

    /// Whether a success opens a tunnel.
    pub fn tunnels(&mut self, tunnel: bool) {
        self.tunnel = tunnel;
    }

    /// Holds a connection's place until the end.
    pub fn hold(&mut self, slot: Slot) {
        self.slot = Some(slot);
    }

    /// Moves the request to an endpoint.
    pub fn towards(&mut self, endpoint: &Rc<EndpointState>) {
        if let Some(before) = self.endpoint.take() {
            before.active.set(before.active.get() - 1);
        }
        endpoint.active.set(endpoint.active.get() + 1);
        self.endpoint = Some(endpoint.clone());
    }

    /// The endpoint's address, once there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(|e| e.address)
    }

    /// Looks at a connection's round trip time, now and then.
    fn look_at(&self, connection: &H1) {
        let looks = self.stats.looks.get();
        self.stats.looks.add(1);
        if looks.is_multiple_of(rtt::EVERY)
            && let Some(us) = connection.rtt_us()
        {
            self.stats.rtt.borrow_mut().record_us(us);
            let before = self.stats.rtt_now.get();
            // RFC 6298's gain for a smoothed mean over connections.
            self.stats.rtt_now.set(if before == 0 { us } else { (before * 7 + us) / 8 });
        }
    }

    /// Closes it as failed; hands the error through.
    pub fn fail(mut self, why: ProxyError) -> ProxyError {
        // What else fails is told where it fails, with the endpoint it fails at.
        if let (ProxyError::Timeout | ProxyError::PerTryTimeout | ProxyError::PerTryIdle, Some(endpoint)) = (why, &self.endpoint) {
            endpoint.ended(why);
        }
        self.close(|stats| stats.failures.add(why.reason()));
        why
    }

    /// The head of the answer is here; the account stays open until the body ends.
    pub fn answered(mut self, answer: Answer, mut patience: Patience) -> Response<UpstreamBody> {
        let (head, inner) = answer.response.into_parts();
        self.status = head.status;
        patience.answered();
        if let Some(endpoint) = &self.endpoint {
            endpoint.answered(head.status.as_u16());
        }
        let us = self.arrived.elapsed().as_micros() as u64;
        if head.status.as_u16() < 500 {
            self.stats.first_byte.borrow_mut().record_us(us);
        }
        // What changes its protocol is not over with its head.
        let goes_on = head.status == StatusCode::SWITCHING_PROTOCOLS || self.tunnel && head.status.is_success();
        let ended = inner.is_end_stream() && !goes_on;
        let mut body = UpstreamBody(Box::new(Reading {
            inner,
            connection: answer.connection,
            connected: answer.connected,
            flight: self,
            patience,
            first_byte_us: us,
        }));
        if ended {
            body.0.end();
        }
        Response::from_parts(head, body)
    }

    /// Bytes that a changed connection has moved.
    pub fn moved(&self, sent: u64, received: u64) {
        self.stats.bytes_sent.add(sent);
        self.stats.bytes_received.add(received);
    }

    /// A changed connection is over. How long it stood is no latency.
    pub fn over(&mut self) {
        self.class = None;
        self.close(|stats| stats.responses[0].add(1));
    }

    /// A changed connection was given up.
    pub fn gave_up(&mut self, why: &'static str) {
        self.class = None;
        self.close(|stats| stats.failures.add(why));
    }

    fn close(&mut self, count: impl FnOnce(&ClusterStats)) {
        if self.over {
            return;
        }
        self.over = true;
        self.stats.in_flight.sub(1);
        self.active.set(self.active.get() - 1);
        if let Some(endpoint) = &self.endpoint {
            endpoint.active.set(endpoint.active.get() - 1);
        }
        self.slot = None;
        if let Some(class) = self.class.take() {
            class.failures.add(1);
        }
        count(&self.stats);
    }

    fn done(&mut self) {
        let (status, us) = (self.status.as_u16(), self.arrived.elapsed().as_micros() as u64);
        if let Some(class) = self.class.take() {
            class.done(status, us);
        }
        self.close(|stats| {
            stats.responses[usize::from(status / 100).clamp(1, 5) - 1].add(1);
            if status < 500 {
                stats.total.borrow_mut().record_us(us);
            }
        });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.close(|stats| stats.failures.add("client_cancelled"));
    }
}

/// Body of an answer from upstream. It is handed on many times on its way to the client: hence the box.
#[derive(Debug)]
pub struct UpstreamBody(Box<Reading>);

/// An answer that is being read.
#[derive(Debug)]
struct Reading {
    inner: Incoming,
    connection: Option<H1>,
    flight: Flight,
    patience: Patience,
    connected: Rc<Connected>,
    /// From the request's arrival to the head of this answer, in microseconds.
    first_byte_us: u64,
}

impl UpstreamBody {
    /// From the request's arrival to the head of this answer, in microseconds.
    pub fn first_byte_us(&self) -> u64 {
        self.0.first_byte_us
    }

    /// It counts for a route, too, from its head on.
    pub fn classify(&mut self, class: Rc<RouteStats>) {
        class.head(self.0.flight.status.as_u16(), self.0.first_byte_us);
        if self.0.flight.over {
            class.done(self.0.flight.status.as_u16(), self.0.first_byte_us);
        } else {
            self.0.flight.class = Some(class);
        }
    }

    /// The connection and the account.
    pub fn into_parts(self) -> (Option<H1>, Flight) {
        let Reading { connection, flight, .. } = *self.0;
        (connection, flight)
    }

    /// What is known of the connection that it comes over.
    pub fn connected(&self) -> Option<Rc<Connected>> {
        Some(self.0.connected.clone())
    }

    /// Where it comes from.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.flight.address()
    }

    /// The answer is not passed on: what of it is here already is read, so that its connection may be kept, and the account is closed.
    pub fn let_go(mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        while !self.0.flight.over {
            match self.0.poll_inner(cx) {
                Poll::Ready(Some(Ok(_))) if !self.0.inner.is_end_stream() => {}
                Poll::Ready(Some(Ok(_)) | None) => self.0.end(),
                Poll::Ready(Some(Err(_))) | Poll::Pending => self.0.flight.done(),
            }
        }
    }
}

impl Reading {
    /// The answer ended: keeps the connection, if it can take another request, and closes the account.
    fn end(&mut self) {
        let reusable = self.connection.take().and_then(|mut c| c.rest().then_some(c));
        if let (Some(connection), Some(endpoint)) = (reusable, &self.flight.endpoint) {
            self.flight.look_at(&connection);
            if !endpoint.keep(connection) {
                self.flight.stats.events.add("idle_overflow");
            }
        }
        self.flight.done();
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(connection) = &mut self.connection else { return Pin::new(&mut self.inner).poll_frame(cx) };
        let first = connection.take_frame(&mut self.inner);
        if first.is_ready() {
            return first;
        }
        connection.drive(cx);
        connection.take_frame(&mut self.inner)
    }

    fn fail(&mut self, why: ProxyError) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(endpoint) = &self.flight.endpoint {
            endpoint.ended(why);
        }
        self.flight.close(|stats| stats.failures.add(why.reason()));
        Poll::Ready(Some(Err(why.into())))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let it = &mut *self.get_mut().0;
        if it.flight.over {
            return Poll::Ready(None);
        }
        match it.poll_inner(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                it.flight.stats.bytes_received.add(frame.data_ref().map_or(0, |d| d.len() as u64));
                it.patience.moved();
                // hyper may never poll again once the announced length has passed.
                if it.inner.is_end_stream() {
                    it.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                it.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => it.fail(ProxyError::reset(&error)),
            Poll::Pending => match it.patience.poll(cx) {
                Poll::Ready(why) => it.fail(why),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.flight.over || self.0.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.0.flight.over { SizeHint::with_exact(0) } else { self.0.inner.size_hint() }
    }
}
