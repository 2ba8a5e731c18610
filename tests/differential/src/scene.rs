//! A scene: what is configured, what the backends answer, what the client does. Written down in [`crate::scenes`], one small file a group.
//!
//! In configuration text `$app`, `$shadow`, `$other` stand for the scene's own clusters, `$key` for a runtime key of its own, `$log` for
//! its access log.

pub mod reply;
pub mod step;

pub use reply::{Act, Reply, reply};
pub use step::{H2Request, Step, h2_get, h2_request};

use std::collections::BTreeMap;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The application: cluster `$app`.
    App,
    /// The mirror's cluster: `$shadow`.
    Shadow,
    /// One more application: `$other`.
    Other,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::App, Self::Shadow, Self::Other];

    /// The name in configurations and transcripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Shadow => "shadow",
            Self::Other => "other",
        }
    }
}

/// What of a transcript is compared.
pub type Look = fn(&[String]) -> Vec<String>;

/// One scene.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Name, unique.
    pub name: &'static str,
    /// Group: its file.
    pub group: &'static str,
    /// More fields of the connection manager.
    pub http: String,
    /// More fields of the route configuration.
    pub table: String,
    /// More fields of the virtual host.
    pub host: String,
    /// The routes.
    pub routes: String,
    /// Virtual hosts in place of the one for everything.
    pub hosts: Option<String>,
    /// More fields of the listener.
    pub listener: String,
    /// More fields of the clusters.
    pub clusters: BTreeMap<Role, String>,
    /// Which backends speak HTTP/2 (their clusters say so).
    pub h2: Vec<Role>,
    /// Backends that are not there: their port is closed.
    pub absent: Vec<Role>,
    /// What the backends answer, request by request; the last one goes on.
    pub replies: BTreeMap<Role, Vec<Reply>>,
    /// What the client does.
    pub steps: Vec<Step>,
    /// Cluster statistics compared, as `role.name`.
    pub stats: Vec<&'static str>,
    /// So many lines of its access log are compared.
    pub logged: usize,
    /// What of the transcript is compared: all of it, if nothing is said.
    pub look: Option<Look>,
}

/// Type of an access log.
const LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";

/// A scene whose every request goes to `$app`.
pub fn scene(name: &'static str) -> Scene {
    Scene {
        name,
        group: "",
        http: String::new(),
        table: String::new(),
        host: String::new(),
        routes: "{ match: { prefix: / }, route: { cluster: $app } }".into(),
        hosts: None,
        listener: String::new(),
        clusters: BTreeMap::new(),
        h2: Vec::new(),
        absent: Vec::new(),
        replies: BTreeMap::new(),
        steps: Vec::new(),
        stats: Vec::new(),
        logged: 0,
        look: None,
    }
}

impl Scene {
    /// Whether its configuration needs a role's cluster: clusters that nobody uses only cost both programs time.
    pub fn uses(&self, role: Role) -> bool {
        let name = format!("${}", role.name());
        let texts = [&self.http, &self.table, &self.host, &self.routes].into_iter().chain(&self.hosts);
        let sent = self.steps.iter().any(|s| matches!(s, Step::Send(bytes) if String::from_utf8_lossy(bytes).contains(&name)));
        role == Role::App || sent || texts.into_iter().any(|t| t.contains(&name))
    }

    /// Fields of the connection manager.
    pub fn http(mut self, fields: &str) -> Self {
        self.http = fields.into();
        self
    }

    /// Fields of the route configuration.
    pub fn table(mut self, fields: &str) -> Self {
        self.table = fields.into();
        self
    }

    /// Fields of the virtual host.
    pub fn host(mut self, fields: &str) -> Self {
        self.host = fields.into();
        self
    }

    /// The routes.
    pub fn routes(mut self, routes: &str) -> Self {
        self.routes = routes.into();
        self
    }

    /// One route for everything to `$app`, with these fields.
    pub fn route(mut self, fields: &str) -> Self {
        self.routes = format!("{{ match: {{ prefix: / }}, route: {{ cluster: $app, {fields} }} }}");
        self
    }

    /// Virtual hosts.
    pub fn hosts(mut self, hosts: &str) -> Self {
        self.hosts = Some(hosts.into());
        self
    }

    /// Every request goes to `$app` and is mirrored to `$shadow`; the policy has these fields, too.
    pub fn mirrored(self, fields: &str) -> Self {
        self.route(&format!("request_mirror_policies: [{{ cluster: $shadow, {fields} }}]"))
    }

    /// Fields of a cluster.
    pub fn cluster(mut self, role: Role, fields: &str) -> Self {
        self.clusters.insert(role, fields.into());
        self
    }

    /// This backend speaks HTTP/2.
    pub fn h2(mut self, role: Role) -> Self {
        self.h2.push(role);
        self
    }

    /// Nobody listens there.
    pub fn absent(mut self, role: Role) -> Self {
        self.absent.push(role);
        self
    }

    /// What the application answers.
    pub fn answers(self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.answers_of(Role::App, replies)
    }

    /// What a backend answers.
    pub fn answers_of(mut self, role: Role, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.replies.insert(role, replies.into_iter().collect());
        self
    }

    /// The client's next step.
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// `GET path` on the kept connection, and its answer.
    pub fn get(self, path: &str) -> Self {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: example.com\r\n\r\n"))
    }

    /// `GET path` with more header lines (each ends with CR LF).
    pub fn get_with(self, path: &str, headers: &str) -> Self {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: example.com\r\n{headers}\r\n"))
    }

    /// `POST path` with a body.
    pub fn post(self, path: &str, body: &str) -> Self {
        self.ask(&format!("POST {path} HTTP/1.1\r\nhost: example.com\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    /// Sends these bytes on the kept connection and reads an answer.
    pub fn ask(self, text: &str) -> Self {
        let head = text.starts_with("HEAD ");
        self.step(Step::Send(text.as_bytes().to_vec().into())).step(Step::Answer { to_head: head })
    }

    /// Sends these bytes on the kept connection.
    pub fn send(self, text: &str) -> Self {
        self.step(Step::Send(text.as_bytes().to_vec().into()))
    }

    /// Waits until a backend has had so many requests.
    pub fn until(self, role: Role, requests: usize) -> Self {
        self.step(Step::Until(role, requests))
    }

    /// Compares these cluster statistics, too (`app.upstream_rq_total`).
    pub fn stats(mut self, names: &[&'static str]) -> Self {
        self.stats = names.to_vec();
        self
    }

    /// An access log of lines in this format, which has these fields, too; so many lines of it are compared.
    pub fn log(mut self, format: &str, fields: &str, lines: usize) -> Self {
        let format = format!("log_format: {{ text_format_source: {{ inline_string: \"{format}\\n\" }} }}");
        let config = format!("typed_config: {{ \"@type\": {LOG}, path: $log, {format} }}");
        let comma = if fields.is_empty() { "" } else { ", " };
        self.http = format!("access_log: [{{ name: log, {config}{comma}{fields} }}]");
        self.logged = lines;
        self
    }

    /// Compares only what this makes of the transcript.
    pub fn look(mut self, look: Look) -> Self {
        self.look = Some(look);
        self
    }
}

impl Scene {
    /// One route for everything to `$app` as the only weighted cluster, with these fields on it.
    pub fn route_weighted(self, fields: &str) -> Self {
        self.routes(&format!(
            "{{ match: {{ prefix: / }}, route: {{ weighted_clusters: {{ clusters: [{{ name: $app, weight: 1, {fields} }}] }} }} }}"
        ))
    }
}
