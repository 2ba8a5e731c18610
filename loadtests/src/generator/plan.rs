//! What the generator is to send: the plan file, and the checks that make it usable.
//!
//! Called by `foreshadow-load` and by whoever builds plans in code. Promises: a plan that passed [`Plan::parse`] or [`Plan::check`] can be run.
//! Not here: drawing arrivals ([`crate::generator::arrivals`]).

use crate::generator::curve::Curve;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A plan. In JSON:
/// `{"seed":1, "duration_s":60, "target":"http://127.0.0.1:8080", "rate":[[0,100],[60,200]],
///   "requests":[{"name":"normal","path":"/work"},{"name":"costly","path":"/work?class=costly"}],
///   "mix":[{"t_s":0,"weights":{"normal":0.9,"costly":0.1}}]}`. Unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seed of arrivals and of the mix.
    #[serde(default)]
    pub seed: u64,
    /// Length in seconds.
    pub duration_s: f64,
    /// `http://host:port`.
    pub target: String,
    /// A slower answer is bad, in milliseconds.
    #[serde(default = "threshold")]
    pub threshold_ms: f64,
    /// An answer that is not complete this long after its request was sent has failed, in milliseconds.
    #[serde(default = "timeout")]
    pub timeout_ms: f64,
    /// Requests under way at once; one more is not sent and counts as bad (`overflow`).
    #[serde(default = "outstanding")]
    pub max_outstanding: usize,
    /// A connection is closed after this many requests, as clients behind a connection-level balancer do, so that new replicas get their share;
    /// by default only the server closes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<u32>,
    /// Points (seconds, requests per second), linear between; two points at one time are a step.
    pub rate: Vec<(f64, f64)>,
    /// What may be sent; by default one GET of `/`.
    #[serde(default = "requests")]
    pub requests: Vec<RequestTemplate>,
    /// Shares of the requests over time, linear between points; by default all alike, all the time.
    #[serde(default)]
    pub mix: Vec<Mix>,
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestTemplate {
    /// Its name in the mix and in the figures.
    pub name: String,
    /// Method; GET by default.
    #[serde(default = "get")]
    pub method: String,
    /// Path with query, beginning with `/`.
    pub path: String,
    /// Header fields.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body; empty by default.
    #[serde(default)]
    pub body: String,
}

/// Shares at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// When, in seconds.
    pub t_s: f64,
    /// Weight by name of the request; a name left out has none.
    pub weights: BTreeMap<String, f64>,
}

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct PlanError {
    /// Where, for example `mix[1].weights`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

fn threshold() -> f64 {
    150.0
}
fn timeout() -> f64 {
    5_000.0
}
fn outstanding() -> usize {
    4_096
}
fn get() -> String {
    "GET".into()
}
fn requests() -> Vec<RequestTemplate> {
    vec![RequestTemplate::get("default", "/")]
}

impl RequestTemplate {
    /// A GET of this path.
    pub fn get(name: &str, path: &str) -> Self {
        Self { name: name.into(), method: get(), path: path.into(), headers: BTreeMap::new(), body: String::new() }
    }
}

impl Plan {
    /// A constant rate of GETs of one URL.
    ///
    /// # Errors
    /// When the URL is not one that can be sent to.
    pub fn constant(url: &str, rps: f64, seconds: f64) -> Result<Self, PlanError> {
        let (target, path) = split(url)?;
        let plan = Self {
            seed: 0,
            duration_s: seconds,
            target,
            threshold_ms: threshold(),
            timeout_ms: timeout(),
            max_outstanding: outstanding(),
            requests_per_connection: None,
            rate: vec![(0.0, rps)],
            requests: vec![RequestTemplate::get("default", &path)],
            mix: Vec::new(),
        };
        plan.check().map(|()| plan)
    }

    /// Reads and checks a plan file's text.
    ///
    /// # Errors
    /// The first problem, with its field or its line.
    pub fn parse(json: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(json).map_err(|e| error("plan", e))?;
        plan.check().map(|()| plan)
    }

    /// The rate over time.
    ///
    /// # Errors
    /// When the points are unusable.
    pub fn curve(&self) -> Result<Curve, PlanError> {
        Curve::new(&self.rate).map_err(|e| error("rate", e))
    }

    /// Checks everything that can be wrong.
    ///
    /// # Errors
    /// The first problem.
    pub fn check(&self) -> Result<(), PlanError> {
        let over_zero = |field: &str, value: f64, most: f64| match value > 0.0 && value <= most {
            true => Ok(()),
            false => Err(error(field, format!("{value} is not more than 0 and at most {most}"))),
        };
        over_zero("duration_s", self.duration_s, 1e7)?;
        over_zero("threshold_ms", self.threshold_ms, 1e7)?;
        over_zero("timeout_ms", self.timeout_ms, 600_000.0)?;
        over_zero("max_outstanding", self.max_outstanding as f64, 1e6)?;
        self.curve()?;
        let (_, path) = split(&self.target)?;
        if path != "/" {
            return Err(error("target", format!("expected http://host:port without a path, got {:?}", self.target)));
        }
        self.check_requests()?;
        self.check_mix()
    }

    fn check_requests(&self) -> Result<(), PlanError> {
        if self.requests.is_empty() {
            return Err(error("requests", "at least one is needed"));
        }
        for (i, request) in self.requests.iter().enumerate() {
            let field = format!("requests[{i}]");
            if self.requests[..i].iter().any(|other| other.name == request.name) {
                return Err(error(&field, format!("the name {:?} is taken", request.name)));
            }
            request.build("host").map_err(|e| error(&field, e))?;
        }
        Ok(())
    }

    fn check_mix(&self) -> Result<(), PlanError> {
        for (i, mix) in self.mix.iter().enumerate() {
            let field = format!("mix[{i}]");
            if !mix.t_s.is_finite() || i > 0 && mix.t_s < self.mix[i - 1].t_s {
                return Err(error(&field, format!("t_s {} is not in order", mix.t_s)));
            }
            if let Some(name) = mix.weights.keys().find(|name| self.requests.iter().all(|r| r.name != **name)) {
                return Err(error(&field, format!("no request is called {name:?}")));
            }
            if mix.weights.values().any(|w| !w.is_finite() || *w < 0.0) || mix.weights.values().sum::<f64>() <= 0.0 {
                return Err(error(&field, "weights are to be 0 or more, and not all 0"));
            }
        }
        Ok(())
    }
}

impl RequestTemplate {
    /// The request's head, for a host.
    pub(crate) fn build(&self, host: &str) -> Result<http::Request<()>, String> {
        if !self.path.starts_with('/') {
            return Err(format!("path {:?} does not begin with /", self.path));
        }
        let mut builder = http::Request::builder().method(self.method.as_str()).uri(self.path.as_str()).header(http::header::HOST, host);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder.body(()).map_err(|e| e.to_string())
    }
}

/// `http://host:port/path` as target and path.
fn split(url: &str) -> Result<(String, String), PlanError> {
    let wanted = || error("target", format!("expected http://host:port, got {url:?}"));
    let uri: http::Uri = url.parse().map_err(|_| wanted())?;
    let authority = uri.authority().ok_or_else(wanted)?;
    match uri.scheme_str() {
        Some("http") => {}
        None => return Err(wanted()),
        Some(_) => return Err(error("target", format!("only http is spoken, got {url:?}"))),
    }
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Ok((format!("http://{authority}"), if path.is_empty() { "/".into() } else { path.to_string() }))
}

fn error(field: &str, problem: impl std::fmt::Display) -> PlanError {
    PlanError { field: field.into(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"{"seed":7,"duration_s":10,"target":"http://localhost:80","rate":[[0,10]],
        "requests":[{"name":"a","path":"/a"},{"name":"b","path":"/b","method":"POST","body":"x"}],"mix":[{"t_s":0,"weights":{"a":1}}]}"#;

    #[test]
    fn a_plan_is_read_and_written_back() {
        let plan = Plan::parse(PLAN).unwrap();
        assert_eq!((plan.threshold_ms, plan.requests[0].method.as_str(), plan.rate[0]), (150.0, "GET", (0.0, 10.0)));
        assert_eq!(Plan::parse(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }

    #[test]
    fn problems_are_named() {
        for (from, to, said) in [
            ("\"seed\":7", "\"sed\":7", "unknown field `sed`"),
            ("\"duration_s\":10", "\"duration_s\":0", "duration_s: 0"),
            ("http://localhost:80", "https://localhost", "only http"),
            ("http://localhost:80", "http://localhost/x", "without a path"),
            ("http://localhost:80", "localhost:80", "target: expected http://host:port"),
            ("[[0,10]]", "[]", "rate: at least one point"),
            ("\"path\":\"/b\"", "\"path\":\"b\"", "requests[1]: path \"b\""),
            ("\"name\":\"b\"", "\"name\":\"a\"", "requests[1]: the name"),
            ("{\"a\":1}", "{\"c\":1}", "mix[0]: no request is called \"c\""),
            ("{\"a\":1}", "{\"a\":0}", "mix[0]: weights"),
            ("POST", "NO WAY", "requests[1]"),
        ] {
            assert!(PLAN.contains(from), "{from}");
            let text = Plan::parse(&PLAN.replace(from, to)).unwrap_err().to_string();
            assert!(text.contains(said), "{to}: {text}");
        }
    }

    #[test]
    fn an_address_becomes_target_and_path() {
        let plan = Plan::constant("http://127.0.0.1:8080/work?class=cheap", 5.0, 2.0).unwrap();
        assert_eq!((plan.target.as_str(), plan.requests[0].path.as_str()), ("http://127.0.0.1:8080", "/work?class=cheap"));
        assert!(Plan::constant("ftp://x", 5.0, 2.0).is_err());
    }
}
