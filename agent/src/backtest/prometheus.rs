//! Samples from what Prometheus kept of the agent's metrics: the answer to
//! `query_range?query={__name__=~"foreshadow_agent_.+"}&start=...&end=...&step=5s`.
//!
//! Counters become differences; a counter that goes back was restarted and tells nothing for that step. What Prometheus does not have (latencies, requests
//! under way) stays unknown: the decision core then learns from bad requests alone.

use foreshadow_brain::Sample;
use foreshadow_brain::sample::{PathSample, ScaleState, ShadowSample};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: HashMap<String, String>,
    values: Vec<(f64, String)>,
}

/// Values by time in milliseconds.
type Line = BTreeMap<u64, f64>;

/// The samples of an answer, oldest first. The error is for people.
pub fn samples(text: &str) -> Result<Vec<Sample>, String> {
    let answer: Answer = serde_json::from_str(text).map_err(|e| format!("is no answer of Prometheus ({e})"))?;
    let data = answer.data.filter(|_| answer.status == "success");
    let data = data.ok_or_else(|| format!("holds an error of Prometheus: {}", answer.error.unwrap_or(answer.status)))?;
    if data.result_type != "matrix" {
        return Err(format!("holds a {}; expected a matrix, as query_range answers", data.result_type));
    }
    let lines: HashMap<(String, String), Line> = data.result.into_iter().map(line).collect();
    let get = |name: &str, label: &str| lines.get(&(format!("foreshadow_agent_{name}"), label.to_string()));
    let requests = get("requests_total", "production").ok_or("has no foreshadow_agent_requests_total{path=\"production\"}")?;
    let at = |line: Option<&Line>, t: u64| line.and_then(|l| l.get(&t)).copied();
    let ticks: Vec<u64> = requests.keys().copied().collect();
    let step = |pair: &[u64]| {
        let (before, now) = (pair[0], pair[1]);
        let rise = |line: Option<&Line>| Some(at(line, now)? - at(line, before)?).filter(|d| *d >= 0.0).map(|d| d.round() as u64);
        let path = |name: &str| {
            let requests = rise(get("requests_total", name))?;
            let bad = rise(get("bad_requests_total", name)).unwrap_or(0).min(requests);
            Some(PathSample { requests, arrivals: requests, bad, cpu_cores: at(get("cpu_cores", name), now), ..Default::default() })
        };
        let replicas = |state: &str| at(get("replicas", state), now).unwrap_or(0.0).round() as u32;
        let shadow = path("shadow").filter(|p| p.requests > 0);
        Sample {
            at_ms: now,
            interval_ms: u32::try_from(now - before).unwrap_or(u32::MAX),
            production: path("production"),
            shadow: shadow.map(|path| ShadowSample {
                path,
                size: at(get("shadow_size_ratio", ""), now).filter(|s| *s > 0.0).unwrap_or(1.0),
                ready: true,
                ..Default::default()
            }),
            scale: ScaleState {
                desired: replicas("desired"),
                ready: replicas("ready"),
                starting: replicas("starting"),
                replica_cores: at(get("replica_cores", ""), now),
                ..Default::default()
            },
        }
    };
    Ok(ticks.windows(2).map(step).collect())
}

/// Name and the one label that matters, with the values.
fn line(series: Series) -> ((String, String), Line) {
    let label = |name: &str| series.metric.get(name).cloned();
    let key = (label("__name__").unwrap_or_default(), label("path").or_else(|| label("state")).unwrap_or_default());
    let value = |(t, v): &(f64, String)| Some(((t * 1_000.0).round() as u64, v.parse::<f64>().ok().filter(|v| v.is_finite())?));
    (key, series.values.iter().filter_map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_samples_and_restarts_become_gaps() {
        let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"foreshadow_agent_requests_total","path":"production"},"values":[[10,"100"],[15,"600"],[20,"50"]]},
            {"metric":{"__name__":"foreshadow_agent_bad_requests_total","path":"production"},"values":[[10,"0"],[15,"7"],[20,"0"]]},
            {"metric":{"__name__":"foreshadow_agent_replicas","state":"ready"},"values":[[10,"3"],[15,"3"],[20,"4"]]}]}}"#;
        let samples = samples(text).unwrap();
        let first = samples[0].production.as_ref().unwrap();
        assert_eq!((samples[0].at_ms, samples[0].interval_ms, first.requests, first.bad), (15_000, 5_000, 500, 7));
        assert_eq!((samples[1].production.as_ref(), samples[1].scale.ready), (None, 4));
    }

    #[test]
    fn the_agents_own_metrics_are_what_is_read() {
        use crate::live::Latest;
        let metrics = crate::metrics::Metrics::new().unwrap();
        let path = |requests, cores| PathSample { requests, bad: 1, cpu_cores: Some(cores), ..Default::default() };
        let sample = Sample {
            interval_ms: 1_000,
            production: Some(path(90, 1.5)),
            shadow: Some(ShadowSample { path: path(40, 0.25), size: 0.5, ..Default::default() }),
            scale: ScaleState { desired: 4, ready: 3, starting: 1, replica_cores: Some(0.4), ..Default::default() },
            ..Default::default()
        };
        let latest = Latest { sample: Some(std::sync::Arc::new(sample)), ..Default::default() };
        // What a server that scrapes twice would answer.
        let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for t in [10, 15] {
            metrics.publish(&latest, 0);
            for family in metrics.gather().iter().filter(|f| f.name().starts_with("foreshadow_agent_")) {
                for metric in family.get_metric() {
                    let labels: String = metric.get_label().iter().map(|l| format!(r#","{}":"{}""#, l.name(), l.value())).collect();
                    let value = metric.get_counter().get_value().max(metric.get_gauge().get_value());
                    let key = format!(r#"{{"__name__":"{}"{labels}}}"#, family.name());
                    series.entry(key).or_default().push(format!(r#"[{t},"{value}"]"#));
                }
            }
        }
        let rows: Vec<String> = series.iter().map(|(m, v)| format!(r#"{{"metric":{m},"values":[{}]}}"#, v.join(","))).collect();
        let text = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, rows.join(","));
        let read = &samples(&text).unwrap()[0];
        let (production, shadow) = (read.production.as_ref().unwrap(), read.shadow.as_ref().unwrap());
        assert_eq!((production.requests, production.bad, production.cpu_cores), (90, 1, Some(1.5)));
        assert_eq!((shadow.path.requests, shadow.path.cpu_cores, shadow.size), (40, Some(0.25), 0.5));
        let scale = &read.scale;
        assert_eq!((scale.desired, scale.ready, scale.starting, scale.replica_cores), (4, 3, 1, Some(0.4)));
    }

    #[test]
    fn what_is_no_answer_is_refused_with_why() {
        assert!(samples("{\"status\":\"error\",\"error\":\"bad step\"}").unwrap_err().contains("bad step"));
        assert!(samples("[]").unwrap_err().contains("no answer"));
        let empty = "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}";
        assert!(samples(empty).unwrap_err().contains("requests_total"));
    }
}
