//! The exposition: a snapshot as Prometheus text. Made when asked for, so the request path pays nothing.

use super::names;
use foreshadow_snapshot::{LatencyHistogram, Snapshot};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};
use std::collections::BTreeMap;

/// Upper bounds of latency buckets in milliseconds: Envoy's default set.
const BOUNDS_MS: [f64; 19] = [0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6];

/// Status classes as Envoy labels them.
const CLASSES: [&str; 5] = ["1", "2", "3", "4", "5"];

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// What a counter can say.
trait Count {
    fn count(self) -> f64;
}

impl Count for u64 {
    fn count(self) -> f64 {
        self as f64
    }
}

impl Count for f64 {
    fn count(self) -> f64 {
        self
    }
}

#[derive(Default)]
struct Families(Vec<MetricFamily>);

impl Families {
    fn metric(&mut self, name: &'static str, kind: MetricType, help: &str, labels: &Labels<'_>) -> &mut Metric {
        let at = self.0.iter().position(|f| f.name() == name).unwrap_or_else(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            self.0.push(family);
            self.0.len() - 1
        });
        let mut metric = Metric::default();
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        metric.set_label(labels.iter().map(pair).collect());
        let metrics = self.0[at].mut_metric();
        metrics.push(metric);
        let last = metrics.len() - 1;
        &mut metrics[last]
    }

    fn counter(&mut self, name: &'static str, help: &str, labels: Labels<'_>, value: impl Count) {
        let mut counter = Counter::default();
        counter.set_value(value.count());
        self.metric(name, MetricType::COUNTER, help, &labels).set_counter(counter);
    }

    fn gauge(&mut self, name: &'static str, help: &str, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.metric(name, MetricType::GAUGE, help, &labels).set_gauge(gauge);
    }

    fn histogram(&mut self, name: &'static str, help: &str, labels: Labels<'_>, of: &LatencyHistogram) {
        let mut histogram = Histogram::default();
        let bucket = |ms: &f64| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*ms);
            bucket.set_cumulative_count(of.len() - of.count_above((ms * 1e3) as u64));
            bucket
        };
        histogram.set_bucket(BOUNDS_MS.iter().map(bucket).collect());
        histogram.set_sample_count(of.len());
        histogram.set_sample_sum(of.mean() * of.len() as f64 / 1e3);
        self.metric(name, MetricType::HISTOGRAM, help, &labels).set_histogram(histogram);
    }
}

/// A snapshot, with the reloads applied and refused, in the text format.
pub fn text(snapshot: &Snapshot, live: bool, reloads: (u64, u64)) -> String {
    let mut all = Families::default();
    clusters(&mut all, snapshot);
    routes(&mut all, snapshot);
    mirrors(&mut all, snapshot);
    listeners(&mut all, snapshot);
    let down = &snapshot.downstream;
    all.counter(names::DOWNSTREAM_RQ_TOTAL, "Requests received", vec![], down.requests);
    for (class, n) in CLASSES.iter().zip(down.responses) {
        all.counter(names::DOWNSTREAM_RQ_XX, "Answers by status class", vec![("envoy_response_code_class", class)], n);
    }
    all.gauge(names::DOWNSTREAM_CX_ACTIVE, "Client connections open", vec![], down.connections as f64);
    all.gauge(names::DOWNSTREAM_CX_RESTING, "Client connections that hold no buffers", vec![], down.connections_resting as f64);
    all.counter(names::DOWNSTREAM_CX_TOTAL, "Client connections accepted", vec![], down.connections_total);
    for (reason, n) in &down.refused {
        all.counter(names::REFUSED, "Requests refused before routing", vec![("reason", reason)], *n);
    }
    for (event, name, help) in names::DOWNSTREAM_EVENTS {
        all.counter(name, help, vec![], down.events.get(event).copied().unwrap_or_default());
    }
    for (outcome, n) in [("written", down.access_log_written), ("dropped", down.access_log_dropped)] {
        all.counter(names::ACCESS_LOG_LINES, "Lines of access logs", vec![("outcome", outcome)], n);
    }
    all.gauge(names::SERVER_LIVE, "1 when serving", vec![], f64::from(u8::from(live)));
    all.counter(names::RELOADS, "Configuration reloads", vec![("outcome", "applied")], reloads.0);
    all.counter(names::RELOADS, "Configuration reloads", vec![("outcome", "refused")], reloads.1);
    all.gauge(names::RELOAD_REFUSED, "1 when the last reload was refused", vec![], f64::from(u8::from(snapshot.config_last_reload_failed)));
    all.gauge(names::GENERATION, "Generation of the configuration in force", vec![], snapshot.config_generation as f64);
    let mut text = Vec::new();
    // Writing to memory fails only on an empty family, and there is none.
    let _ = TextEncoder::new().encode(&all.0, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

fn clusters(all: &mut Families, snapshot: &Snapshot) {
    for c in &snapshot.clusters {
        let labels = || vec![("envoy_cluster_name", c.name.as_str())];
        all.counter(names::UPSTREAM_RQ_TOTAL, "Requests to the cluster", labels(), c.requests);
        all.gauge(names::UPSTREAM_RQ_ACTIVE, "Requests under way", labels(), c.in_flight as f64);
        for (class, n) in CLASSES.iter().zip(c.answered()) {
            let mut labels = labels();
            labels.push(("envoy_response_code_class", class));
            all.counter(names::UPSTREAM_RQ_XX, "Answers by status class, those made for want of one included", labels, n);
        }
        for (reason, n) in &c.failures {
            let mut labels = labels();
            labels.push(("reason", reason));
            all.counter(names::UPSTREAM_FAILURES, "Requests that ended without a whole answer", labels, *n);
        }
        let counted = names::CLUSTER_EVENTS.iter().map(|(event, name, help)| (name, help, c.events.get(*event)));
        let failed = names::CLUSTER_FAILURES.iter().map(|(reason, name, help)| (name, help, c.failures.get(*reason)));
        for (name, help, n) in counted.chain(failed) {
            all.counter(name, help, labels(), n.copied().unwrap_or_default());
        }
        handshakes(all, &c.events, ("envoy_cluster_name", &c.name), false);
        all.histogram(names::UPSTREAM_RQ_TIME, "Milliseconds to the end of the answer", labels(), &c.total_us);
        all.histogram(names::FIRST_BYTE_TIME, "Milliseconds to the first byte of the answer", labels(), &c.first_byte_us);
        all.histogram(names::UPSTREAM_CX_CONNECT_MS, "Milliseconds to connect", labels(), &c.connect_us);
        all.counter(names::UPSTREAM_CX_TOTAL, "Connections made", labels(), c.connect_us.len());
        all.histogram(names::TCP_RTT, "Milliseconds of smoothed TCP round trip time", labels(), &c.tcp_rtt_us);
        all.counter(names::UPSTREAM_TX_BYTES, "Body bytes sent", labels(), c.bytes_sent);
        all.counter(names::UPSTREAM_RX_BYTES, "Body bytes received", labels(), c.bytes_received);
        all.gauge(names::MEMBERSHIP_TOTAL, "Endpoints known", labels(), c.endpoints_total as f64);
        all.gauge(names::EJECTIONS_ACTIVE, "Endpoints ejected", labels(), c.endpoints_ejected as f64);
        all.gauge(names::MEMBERSHIP_HEALTHY, "Endpoints in rotation", labels(), c.endpoints.len() as f64);
    }
}

fn routes(all: &mut Families, snapshot: &Snapshot) {
    for r in &snapshot.routes {
        let labels = || vec![("envoy_cluster_name", r.cluster.as_str()), ("route", r.route.as_str())];
        for (class, n) in CLASSES.iter().zip(r.responses) {
            let mut labels = labels();
            labels.push(("envoy_response_code_class", class));
            all.counter(names::ROUTE_RQ_XX, "Answers by status class", labels, n);
        }
        all.counter(names::ROUTE_FAILURES, "Requests that ended without a whole answer", labels(), r.failures);
        all.histogram(names::ROUTE_RQ_TIME, "Milliseconds to the end of the answer", labels(), &r.total_us);
        all.histogram(names::ROUTE_FIRST_BYTE_TIME, "Milliseconds to the first byte of the answer", labels(), &r.first_byte_us);
    }
}

fn listeners(all: &mut Families, snapshot: &Snapshot) {
    for l in &snapshot.listeners {
        // Envoy writes addresses so that they can be part of a name.
        let address = l.address.replace(':', "_");
        let label = ("envoy_listener_address", address.as_str());
        for (event, name, help) in names::LISTENER_EVENTS {
            all.counter(name, help, vec![label], l.events.get(event).copied().unwrap_or_default());
        }
        handshakes(all, &l.events, label, true);
    }
    for (outcome, n) in [("renewed", snapshot.certificates_renewed), ("refused", snapshot.certificates_refused)] {
        all.counter(names::CERTIFICATES, "Times that changed certificates were read", vec![("outcome", outcome)], n);
    }
}

/// What is counted of TLS, when there is any.
fn handshakes<'a>(all: &mut Families, events: &'a BTreeMap<String, u64>, owner: (&'static str, &'a str), listener: bool) {
    if !events.keys().any(|event| event.starts_with("ssl.")) {
        return;
    }
    for (event, of_listener, of_cluster, help) in names::TLS_EVENTS {
        let name = if listener { of_listener } else { of_cluster };
        all.counter(name, help, vec![owner], events.get(event).copied().unwrap_or_default());
    }
    for (prefix, of_listener, of_cluster, label, help) in names::TLS_KINDS {
        let name = if listener { of_listener } else { of_cluster };
        for (kind, n) in events.iter().filter_map(|(event, n)| Some((event.strip_prefix(prefix)?, *n))) {
            all.counter(name, help, vec![(label, kind), owner], n);
        }
    }
}

fn mirrors(all: &mut Families, snapshot: &Snapshot) {
    for m in &snapshot.mirrors {
        let labels = || vec![("policy", m.policy.as_str())];
        all.counter(names::MIRROR_ELIGIBLE_REQUESTS, "Requests the policy applied to", labels(), m.eligible_requests);
        all.counter(names::MIRROR_ELIGIBLE, "Copy opportunities", labels(), m.eligible);
        all.counter(names::MIRROR_COMPLETED, "Copies answered whole", labels(), m.completed);
        all.gauge(names::MIRROR_IN_FLIGHT, "Copies waiting or under way", labels(), m.in_flight as f64);
        for (reason, n) in &m.dropped {
            let mut labels = labels();
            labels.push(("reason", reason));
            all.counter(names::MIRROR_DROPPED, "Copies not made or not finished", labels, *n);
        }
        all.gauge(names::MIRROR_FRACTION, "Copies wished per eligible request", labels(), m.fraction);
        all.gauge(names::MIRROR_BUFFERED, "Body bytes held for copies", labels(), m.buffered_bytes as f64);
        for (status, n) in [("match", m.status_match), ("mismatch", m.status_mismatch)] {
            let mut labels = labels();
            labels.push(("status", status));
            all.counter(names::MIRROR_PAIRS, "Pairs whose statuses were compared", labels, n);
        }
        for (body, n) in [("match", m.body_match), ("mismatch", m.body_mismatch)] {
            let mut labels = labels();
            labels.push(("body", body));
            all.counter(names::MIRROR_BODIES, "Pairs whose bodies were compared", labels, n);
        }
        all.histogram(names::MIRROR_SLOWER, "Milliseconds by which copies' first bytes came later", labels(), &m.slower_us);
        all.histogram(names::MIRROR_FASTER, "Milliseconds by which copies' first bytes came sooner", labels(), &m.faster_us);
        all.gauge(names::MIRROR_PROBABILITY, "Probability with which a request is copied now", labels(), m.inclusion_probability);
        all.counter(names::MIRROR_REPRESENTED, "Requests that the copies stand for", labels(), m.represented);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshadow_snapshot::ClusterSnapshot;

    #[test]
    fn buckets_are_cumulative_and_complete() {
        let mut cluster = ClusterSnapshot { name: "app".into(), ..Default::default() };
        [300, 7_000, 80_000].iter().for_each(|us| cluster.total_us.record_us(*us));
        let text = text(&Snapshot { clusters: vec![cluster], ..Default::default() }, true, (1, 2));
        for line in [
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"app\",le=\"0.5\"} 1",
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"app\",le=\"10\"} 2",
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"app\",le=\"+Inf\"} 3",
            "foreshadow_config_reloads_total{outcome=\"refused\"} 2",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
