//! `/stats`: every number by Envoy's name, as text or JSON, those that are asked for.

use foreshadow_snapshot::Snapshot;
use regex::Regex;
use serde_json::json;
use std::fmt::Write as _;

/// Which numbers are asked for, and how.
#[derive(Debug, Default)]
pub struct Wanted {
    filter: Option<Regex>,
    inverted: bool,
    used_only: bool,
    json: bool,
}

impl Wanted {
    /// Reads the query.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(query: &[(String, String)]) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (key, value) in query {
            match (key.as_str(), value.as_str()) {
                ("filter", pattern) => wanted.filter = Some(Regex::new(pattern).map_err(|why| format!("filter: {why}\n"))?),
                ("invert_filter", _) => wanted.inverted = true,
                ("usedonly", _) => wanted.used_only = true,
                ("format", "json") => wanted.json = true,
                ("format", "text") => {}
                ("format", other) => return Err(format!("format '{other}': one of text, json, prometheus\n")),
                (other, _) => return Err(format!("'{other}': one of filter, invert_filter, usedonly, format\n")),
            }
        }
        Ok(wanted)
    }

    fn takes(&self, name: &str, value: u64) -> bool {
        let matches = self.filter.as_ref().is_none_or(|f| f.is_match(name) != self.inverted);
        matches && !(self.used_only && value == 0)
    }

    /// The page, and whether it is JSON.
    pub fn page(&self, snapshot: &Snapshot) -> (String, bool) {
        let mut found: Vec<_> = numbers(snapshot).into_iter().filter(|(name, value)| self.takes(name, *value)).collect();
        if self.json {
            let stats: Vec<_> = found.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            return (json!({ "stats": stats }).to_string() + "\n", true);
        }
        found.sort();
        let mut text = String::new();
        for (name, value) in found {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}: {value}");
        }
        (text, false)
    }
}

/// Every number.
fn numbers(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    let mut line = |name: String, value: u64| all.push((name, value));
    for c in &snapshot.clusters {
        line(format!("cluster.{}.upstream_rq_total", c.name), c.requests);
        line(format!("cluster.{}.upstream_rq_active", c.name), c.in_flight);
        for (class, n) in c.answered().into_iter().enumerate() {
            line(format!("cluster.{}.upstream_rq_{}xx", c.name, class + 1), n);
        }
        c.failures.iter().for_each(|(reason, n)| line(format!("cluster.{}.failures.{reason}", c.name), *n));
        c.events.iter().for_each(|(event, n)| line(format!("cluster.{}.{event}", c.name), *n));
        line(format!("cluster.{}.upstream_cx_tx_bytes_total", c.name), c.bytes_sent);
        line(format!("cluster.{}.upstream_cx_rx_bytes_total", c.name), c.bytes_received);
        line(format!("cluster.{}.membership_healthy", c.name), c.endpoints.len() as u64);
    }
    for l in &snapshot.listeners {
        l.events.iter().for_each(|(event, n)| line(format!("listener.{}.{event}", l.address.replace(':', "_")), *n));
    }
    for m in &snapshot.mirrors {
        line(format!("mirror.{}.eligible", m.policy), m.eligible);
        line(format!("mirror.{}.completed", m.policy), m.completed);
        line(format!("mirror.{}.in_flight", m.policy), m.in_flight);
        m.dropped.iter().for_each(|(reason, n)| line(format!("mirror.{}.dropped.{reason}", m.policy), *n));
    }
    let down = &snapshot.downstream;
    line("http.downstream_rq_total".into(), down.requests);
    for (class, n) in down.responses.iter().enumerate() {
        line(format!("http.downstream_rq_{}xx", class + 1), *n);
    }
    line("http.downstream_cx_active".into(), down.connections);
    line("http.downstream_cx_total".into(), down.connections_total);
    down.events.iter().for_each(|(event, n)| line(format!("http.{event}"), *n));
    down.refused.iter().for_each(|(reason, n)| line(format!("http.refused.{reason}"), *n));
    line("certificates.renewed".into(), snapshot.certificates_renewed);
    line("certificates.refused".into(), snapshot.certificates_refused);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshadow_snapshot::ClusterSnapshot;

    fn page(query: &[(&str, &str)]) -> Result<String, String> {
        let cluster = ClusterSnapshot { name: "app".into(), requests: 3, ..Default::default() };
        let query: Vec<_> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let snapshot = Snapshot { clusters: vec![cluster], ..Default::default() };
        Wanted::read(&query).map(|wanted| wanted.page(&snapshot).0)
    }

    #[test]
    fn numbers_are_filtered_and_written_as_asked() {
        assert_eq!(page(&[("filter", "^cluster\\.app\\.upstream_rq_total$")]), Ok("cluster.app.upstream_rq_total: 3\n".into()));
        assert_eq!(page(&[("usedonly", "")]), Ok("cluster.app.upstream_rq_total: 3\n".into()));
        let json = "{\"stats\":[{\"name\":\"cluster.app.upstream_rq_total\",\"value\":3}]}\n";
        assert_eq!(page(&[("usedonly", ""), ("format", "json")]), Ok(json.into()));
        assert!(page(&[("filter", "cluster"), ("invert_filter", "")]).is_ok_and(|text| !text.contains("cluster")));
        assert!(page(&[("filter", "(")]).is_err() && page(&[("format", "yaml")]).is_err() && page(&[("nonsense", "")]).is_err());
    }
}
