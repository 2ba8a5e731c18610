//! The configuration loader from the outside: samples, mapping rules, broken files, hostile input.

#[path = "config/broken.rs"]
mod broken;
#[path = "config/envoy.rs"]
mod envoy;
#[path = "config/hostile.rs"]
mod hostile;
#[path = "config/injected.rs"]
mod injected;
#[path = "config/mapping.rs"]
mod mapping;
#[path = "config/meaning.rs"]
mod meaning;
#[path = "config/samples.rs"]
mod samples;
#[path = "config/support.rs"]
mod support;
#[path = "config/tls.rs"]
mod tls;
