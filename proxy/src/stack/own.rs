//! Answers made here: to what failed, to what a route answers by itself, to what never became a request; and what every answer gets.

use super::Step;
use super::notes::Notes;
use crate::config::model::{HttpManager, ManagerId, Route, ServerHeader};
use crate::error::{ProxyError, grpc_status};
use crate::http::body::AnswerBody;
use crate::http::{forwarded, headers, reply};
use crate::listener::client::Client;
use crate::state::State;
use crate::stats::WorkerStats;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue, LOCATION, SERVER, SET_COOKIE};
use http::{Response, StatusCode};
use std::rc::Rc;
use std::time::Instant;

/// Counts an answer.
pub(super) fn answered(stats: &WorkerStats, status: StatusCode) {
    stats.downstream.responses[usize::from(status.as_u16() / 100).clamp(1, 5) - 1].add(1);
}

/// What every answer gets.
pub(super) fn finish(manager: &HttpManager, server: Option<&HeaderValue>, notes: &mut Notes, headers: &mut HeaderMap) {
    if let Some(server) = server
        && (manager.server_header == ServerHeader::Overwrite
            || manager.server_header == ServerHeader::AppendIfAbsent && !headers.contains_key(SERVER))
    {
        headers.insert(SERVER, server.clone());
    }
    if let Some(id) = notes.id.take() {
        headers.insert(forwarded::REQUEST_ID, id);
    }
    if let Some(cookie) = notes.cookie.take() {
        headers.append(SET_COOKIE, cookie);
    }
    if let Some(via) = &manager.via {
        forwarded::add_via(headers, via);
    }
}

/// Sends the client elsewhere.
pub(super) fn redirected<'a>(to: Option<(StatusCode, HeaderValue)>, route: Option<&Route>, notes: &Notes) -> Result<Step<'a>, ProxyError> {
    let (status, location) = to.ok_or(ProxyError::Invalid("the redirect cannot be written"))?;
    let mut answer = reply::with(status, "");
    answer.headers_mut().insert(LOCATION, location);
    if let Some(route) = route {
        headers::apply(&route.response_headers, answer.headers_mut(), notes.record());
    }
    Ok(Step::Answer(answer))
}

/// An answer by the route's own words.
pub(super) fn direct(status: StatusCode, body: &Bytes, route: &Route, notes: &Notes) -> Response<AnswerBody> {
    let mut answer = reply::with(status, body.clone());
    headers::apply(&route.response_headers, answer.headers_mut(), notes.record());
    answer
}

/// An answer by a route's own words, in the form that is wanted.
pub(super) fn local_answer(answer: Response<AnswerBody>, manager: &HttpManager, notes: &mut Notes) -> Response<AnswerBody> {
    if !notes.grpc {
        return notes.local(manager, answer);
    }
    let (status, text) = (grpc_status(answer.status()), answer.body().text().cloned().unwrap_or_default());
    notes.local(manager, reply::for_grpc(answer, status, &String::from_utf8_lossy(&text)))
}

/// The answer to a request that failed here.
pub(super) fn own_answer(error: ProxyError, manager: &HttpManager, stats: &WorkerStats, notes: &mut Notes) -> Response<AnswerBody> {
    if error.is_refusal() {
        stats.downstream.refused.add(error.reason());
    }
    let answer = reply::failed(error, manager.suppress_envoy_headers);
    notes.failed(error);
    let answer = if notes.grpc { reply::for_grpc(answer, error.grpc_status(), &error.to_string()) } else { answer };
    notes.local(manager, answer)
}

/// The answer to what never became a request: counted and written down like others.
pub fn unheard(state: &State, stats: &WorkerStats, id: ManagerId, client: &Rc<Client>, why: ProxyError) -> Response<AnswerBody> {
    let manager = &state.config.managers[id];
    stats.downstream.events.add(if why == ProxyError::HeadTimeout {
        "downstream_rq_header_timeout"
    } else {
        "downstream_cx_protocol_error"
    });
    let mut notes = Notes::default();
    notes.open(state, id, Instant::now(), client, None);
    let mut answer = own_answer(why, manager, stats, &mut notes);
    finish(manager, state.servers[id].as_ref(), &mut notes, answer.headers_mut());
    answered(stats, answer.status());
    notes.close(answer)
}

/// Answer when the listener is gone.
pub fn gone() -> Response<AnswerBody> {
    reply::with(StatusCode::SERVICE_UNAVAILABLE, "the listener was removed")
}
