//! The controller's metrics: all names in one place.

use prometheus::{Encoder as _, Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::time::Duration;

/// Seconds; the webhook answers in fractions of a millisecond.
const BUCKETS: [f64; 8] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25];

/// Counters and gauges of a controller.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: IntCounterVec,
    review_seconds: Histogram,
    reconciles: IntCounterVec,
    leader: IntGauge,
    renewals: IntCounterVec,
    swept: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// When two have one name: a defect.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, label: &str| {
            let made = IntCounterVec::new(Opts::new(format!("foreshadow_controller_{name}"), help), &[label])?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let reviews = counter("webhook_reviews_total", "Questions of the API server about pods, by outcome", "outcome")?;
        let reconciles = counter("reconciles_total", "ShadowScalers looked after, by outcome", "outcome")?;
        let renewals = counter("certificate_renewals_total", "Certificates of the webhook made, by outcome", "outcome")?;
        let swept = counter("overdue_total", "Floors and sizes whose time was over, by outcome", "outcome")?;
        let options =
            HistogramOpts::new("foreshadow_controller_webhook_seconds", "Time to answer a question about a pod").buckets(BUCKETS.to_vec());
        let review_seconds = Histogram::with_opts(options)?;
        registry.register(Box::new(review_seconds.clone()))?;
        let leader = IntGauge::new("foreshadow_controller_leader", "1 on the replica that leads")?;
        registry.register(Box::new(leader.clone()))?;
        Ok(Self { registry, reviews, review_seconds, reconciles, leader, renewals, swept })
    }

    /// A question was answered.
    pub fn reviewed(&self, outcome: &str, took: Duration) {
        self.reviews.with_label_values(&[outcome]).inc();
        self.review_seconds.observe(took.as_secs_f64());
    }

    /// A ShadowScaler was looked after: ok, waiting, failed.
    pub fn reconciled(&self, outcome: &str) {
        self.reconciles.with_label_values(&[outcome]).inc();
    }

    /// Whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Certificates were made, or could not be.
    pub fn renewed(&self, outcome: &str) {
        self.renewals.with_label_values(&[outcome]).inc();
    }

    /// A floor or size whose time was over was put back, or not.
    pub fn swept(&self, outcome: &str) {
        self.swept.with_label_values(&[outcome]).inc();
    }

    /// The exposition, text format.
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut bytes) {
            Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}
