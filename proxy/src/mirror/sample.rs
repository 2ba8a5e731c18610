//! How many copies a request gets.
//!
//! A fraction f means floor(f) copies and one more with probability f - floor(f). With a key the draw is a hash of salt and key, so a whole session is in
//! or out, and what a smaller fraction copies a larger one copies too. The fraction is the file's unless a run-time value stands that has not expired.

use crate::config::model::SampleKey;
use http::request;
use rand::RngExt as _;
use std::cell::Cell;
use std::net::IpAddr;
use std::time::Instant;

/// The fraction of one policy in one worker.
#[derive(Debug)]
pub struct Fraction {
    file: f64,
    salt: u64,
    runtime: Cell<Option<(f64, Option<Instant>)>>,
}

impl Fraction {
    /// The file's fraction; `name` makes the salt, so policies draw independently.
    pub fn new(file: f64, name: &str) -> Self {
        Self { file, salt: hash(0x5eed, name.as_bytes()), runtime: Cell::new(None) }
    }

    /// Sets or removes the run-time value and its end.
    pub fn set(&self, runtime: Option<(f64, Option<Instant>)>) {
        self.runtime.set(runtime);
    }

    /// The fraction now in force.
    pub fn now(&self) -> f64 {
        match self.runtime.get() {
            Some((fraction, None)) => fraction,
            Some((fraction, Some(end))) if Instant::now() < end => fraction,
            Some(_) => {
                self.runtime.set(None);
                self.file
            }
            None => self.file,
        }
    }

    /// Copies for one request at this fraction.
    pub fn copies(&self, fraction: f64, key: Option<&SampleKey>, head: &request::Parts, peer: IpAddr) -> u64 {
        if fraction <= 0.0 {
            return 0;
        }
        let rest = fraction.fract();
        let extra = rest > 0.0 && self.draw(key, head, peer) < rest;
        fraction as u64 + u64::from(extra)
    }

    /// Uniform in 0..1. A request without the key draws at random.
    fn draw(&self, key: Option<&SampleKey>, head: &request::Parts, peer: IpAddr) -> f64 {
        let hashed = key.and_then(|key| match key {
            SampleKey::Header(name) => head.headers.get(name).map(|v| hash(self.salt, v.as_bytes())),
            SampleKey::Cookie(name) => cookie(head, name).map(|v| hash(self.salt, v.as_bytes())),
            SampleKey::Query(name) => query(head, name).map(|v| hash(self.salt, v.as_bytes())),
            SampleKey::SourceIp => Some(hash(self.salt, peer.to_string().as_bytes())),
        });
        hashed.map_or_else(|| rand::rng().random_range(0.0..1.0), |h| (h >> 11) as f64 / (1u64 << 53) as f64)
    }
}

fn cookie<'a>(head: &'a request::Parts, name: &str) -> Option<&'a str> {
    let all = head.headers.get_all(http::header::COOKIE).iter();
    all.filter_map(|c| c.to_str().ok())
        .flat_map(|c| c.split(';'))
        .filter_map(|c| c.trim().split_once('='))
        .find(|c| c.0 == name)
        .map(|c| c.1)
}

fn query<'a>(head: &'a request::Parts, name: &str) -> Option<&'a str> {
    head.uri.query()?.split('&').filter_map(|p| p.split_once('=')).find(|p| p.0 == name).map(|p| p.1)
}

/// FNV-1a with a final avalanche (the finalizer of SplitMix64, Steele et al. 2014): FNV alone keeps similar keys close together.
fn hash(salt: u64, bytes: &[u8]) -> u64 {
    let mut h = bytes.iter().fold(salt ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn head(user: u32) -> request::Parts {
        http::Request::get("/").header("x-user", user.to_string()).body(()).unwrap().into_parts().0
    }

    fn chosen(fraction: f64, policy: &str, key: &SampleKey) -> Vec<u32> {
        let sampler = Fraction::new(fraction, policy);
        (0..10_000).filter(|u| sampler.copies(sampler.now(), Some(key), &head(*u), PEER) > 0).collect()
    }

    #[test]
    fn a_larger_fraction_contains_the_smaller_and_policies_differ() {
        let key = SampleKey::Header(http::HeaderName::from_static("x-user"));
        let (small, large, other) = (chosen(0.1, "a", &key), chosen(0.3, "a", &key), chosen(0.1, "b", &key));
        assert!(small.iter().all(|u| large.contains(u)));
        assert!((800..1200).contains(&small.len()) && (2700..3300).contains(&large.len()), "{} {}", small.len(), large.len());
        // Independent policies of 10 % share about 1 % of the keys.
        let both = small.iter().filter(|u| other.contains(u)).count();
        assert!((50..200).contains(&both), "{both}");
    }

    #[test]
    fn above_one_is_so_many_copies_each() {
        let sampler = Fraction::new(2.5, "a");
        let n: u64 = (0..10_000).map(|u| sampler.copies(sampler.now(), None, &head(u), PEER)).sum();
        assert!((24_500..25_500).contains(&n), "{n}");
    }

    #[test]
    fn one_in_a_million_is_one_in_a_million() {
        let sampler = Fraction::new(1e-6, "a");
        let head = head(1);
        let n: u64 = (0..4_000_000).map(|_| sampler.copies(sampler.now(), None, &head, PEER)).sum();
        // 4 +- 2; six standard deviations are allowed.
        assert!(n <= 16, "{n}");
        let key = SampleKey::Query("user".into());
        let chosen = |fraction: f64| {
            let uri = |n: u32| http::Request::get(format!("/?user={n}")).body(()).unwrap().into_parts().0;
            (0..400_000).filter(|n| sampler.copies(fraction, Some(&key), &uri(*n), PEER) > 0).collect::<Vec<_>>()
        };
        let (tiny, small) = (chosen(2e-5), chosen(1e-4));
        assert!(tiny.len() <= 25 && (2..=80).contains(&small.len()) && tiny.iter().all(|n| small.contains(n)), "{tiny:?} {small:?}");
    }

    #[test]
    fn a_runtime_value_ends() {
        let sampler = Fraction::new(0.25, "a");
        sampler.set(Some((1.0, None)));
        assert_eq!(sampler.now(), 1.0);
        sampler.set(Some((1.0, Instant::now().checked_sub(Duration::from_secs(1)))));
        assert_eq!(sampler.now(), 0.25);
    }
}
