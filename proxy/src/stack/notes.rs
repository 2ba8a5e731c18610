//! What is remembered of a request until it is answered: nothing, as a rule.

use crate::access_log::Logged;
use crate::config::model::{HttpManager, ManagerId, Route};
use crate::error::ProxyError;
use crate::format::record::{self, Record};
use crate::http::body::AnswerBody;
use crate::http::{forwarded, reply};
use crate::listener::client::Client;
use crate::state::State;
use crate::upstream::Upstream;
use crate::upstream::answer::UpstreamBody;
use crate::upstream::changed::Changed;
use crate::upstream::request::Upload;
use http::header::HeaderValue;
use http::request::Parts;
use http::{Response, Version};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Notes about one request.
#[derive(Default)]
pub struct Notes {
    /// Its `x-request-id`, when the answer is to tell it.
    pub id: Option<HeaderValue>,
    /// A cookie that its client is to have.
    pub cookie: Option<HeaderValue>,
    /// It is gRPC's: answers made here have to be, too.
    pub grpc: bool,
    /// Its record, when something will read it.
    log: Option<Box<Logged>>,
}

impl Notes {
    /// A request has come, or something that did not become one: then there is no head.
    pub fn open(&mut self, state: &State, manager: ManagerId, arrived: Instant, client: &Rc<Client>, head: Option<&Parts>) {
        if let Some(wanted) = &state.config.managers[manager].wanted {
            let mut record = Record::open(arrived, client.clone(), head);
            record.runtime = Some(state.overrides());
            self.log = Some(Box::new(Logged::new(record, wanted.clone(), state.loggers[manager].clone())));
        }
    }

    /// What is known of it, for who makes header values of that.
    pub fn record(&self) -> Option<&Record> {
        self.log.as_ref().map(|log| &log.record)
    }

    /// It is known who it comes from, and its headers are what they are routed by.
    pub fn arrived(&mut self, manager: &HttpManager, head: &Parts, host: &HeaderValue, from: IpAddr, probe: bool) {
        if manager.always_set_request_id_in_response {
            self.id = head.headers.get(forwarded::REQUEST_ID).cloned();
        }
        if let Some(log) = &mut self.log {
            log.record.address = Some(from);
            log.record.probe = probe;
        }
        self.request(head, host);
    }

    /// The request as it is now.
    pub fn request(&mut self, head: &Parts, host: &HeaderValue) {
        if let Some(log) = &mut self.log {
            log.record.request(head, host, &log.wanted);
        }
    }

    /// It takes this route.
    pub fn named(&mut self, route: &Route) {
        if let Some(log) = &mut self.log {
            log.record.route.clone_from(&route.name);
        }
    }

    /// It goes to this cluster.
    pub fn towards(&mut self, upstream: &Upstream, upload: Option<Rc<Upload>>) {
        let Some(log) = &mut self.log else { return };
        log.record.cluster.clone_from(&upstream.cluster.name);
        log.record.upload = upload.map(|u| u as Rc<dyn record::Upload>);
    }

    /// It was sent, or was not.
    pub fn sent(&mut self, upstream: &Upstream, sent: &Result<Response<UpstreamBody>, ProxyError>) {
        let Some(log) = &mut self.log else { return };
        let record = &mut log.record;
        let (failed_at, attempts) = upstream.last_told();
        record.attempts = attempts.max(1);
        match sent {
            Ok(answer) => {
                record.upstream = answer.body().address();
                record.connected = answer.body().connected();
                record.first_byte = Some(Duration::from_micros(answer.body().first_byte_us()));
                record.upstream_protocol = Some(if answer.version() == Version::HTTP_2 { Version::HTTP_2 } else { Version::HTTP_11 });
                record.details = "via_upstream".into();
                log.record.response(answer.status().as_u16(), answer.headers(), &log.wanted);
            }
            Err(_) => record.upstream = failed_at,
        }
    }

    /// A connection was opened for it, or was not.
    pub fn opened(&mut self, upstream: &Upstream, opened: Option<&Changed>) {
        let Some(log) = &mut self.log else { return };
        let (failed_at, attempts) = upstream.last_told();
        log.record.attempts = attempts.max(1);
        log.record.upstream = opened.map_or(failed_at, Changed::address);
        if opened.is_some() {
            log.record.details = "via_upstream".into();
        }
    }

    /// It failed.
    pub fn failed(&mut self, error: ProxyError) {
        if let Some(log) = &mut self.log {
            log.failed(error);
        }
    }

    /// An answer made here gets the form that the manager wants.
    pub fn local(&mut self, manager: &HttpManager, answer: Response<AnswerBody>) -> Response<AnswerBody> {
        let Some(log) = &mut self.log else { return answer };
        if log.record.details.is_empty() {
            log.record.details = "direct_response".into();
        }
        match &manager.local_reply {
            Some(config) => reply::shape(config, log, answer),
            None => answer,
        }
    }

    /// The answer leaves, and its log with it.
    pub fn close(self, answer: Response<AnswerBody>) -> Response<AnswerBody> {
        let Some(mut log) = self.log else { return answer };
        log.record.response(answer.status().as_u16(), answer.headers(), &log.wanted);
        answer.map(|body| body.logged(log))
    }
}
