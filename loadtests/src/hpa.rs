//! The reactive scaler that Foreshadow works beside: Kubernetes' HorizontalPodAutoscaler to its documented algorithm, and the metrics
//! pipeline that feeds it.
//!
//! Called by the demo and by simulations. Pure: time is given (seconds from any origin), nothing is read or written. Promises: defaults are
//! those of the cluster (sync 15 s, tolerance 10 %, scale-down window 300 s, metrics every 15 s); `time_scale` divides every duration, so
//! that an hour of it can be watched in minutes. Not here: reading processor use and starting replicas.
//!
//! Sources: "Horizontal Pod Autoscaling" and "Resource metrics pipeline" in the documentation at kubernetes.io; the `behavior` section of
//! the autoscaling/v2 API; defaults of kube-controller-manager's and metrics-server's flags.

pub mod behavior;
pub mod config;
pub mod pipeline;
pub mod pods;
pub mod scaler;

pub use config::Config;
pub use pipeline::{MetricsPipeline, PipelineConfig};
pub use pods::{Metric, Phase, Pod};
pub use scaler::{Hpa, Recommendation};
