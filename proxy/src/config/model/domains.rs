//! Domains of virtual hosts, and which of them a host name falls under. Part of [`super`], which re-exports it.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// A domain pattern, lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Domain {
    /// `example.com`
    Exact(String),
    /// `*.example.com`, held as `.example.com`
    Suffix(String),
    /// `example.*`, held as `example.`
    Prefix(String),
    /// `*`
    Any,
}

/// Names of one length, longest first: the longest that fits wins.
type ByLength = BTreeMap<Reverse<usize>, HashMap<String, usize>>;

/// All domains of a route table, by Envoy's precedence: exact, longest suffix, longest prefix, any.
#[derive(Debug, Clone, Default)]
pub struct Domains {
    exact: HashMap<String, usize>,
    suffixes: ByLength,
    prefixes: ByLength,
    any: Option<usize>,
}

impl Domains {
    /// Each domain with the number of its virtual host.
    pub fn new<'a>(domains: impl IntoIterator<Item = (&'a Domain, usize)>) -> Self {
        let mut it = Self::default();
        for (domain, host) in domains {
            match domain {
                Domain::Exact(name) => drop(it.exact.insert(name.clone(), host)),
                Domain::Suffix(end) => drop(it.suffixes.entry(Reverse(end.len())).or_default().insert(end.clone(), host)),
                Domain::Prefix(start) => drop(it.prefixes.entry(Reverse(start.len())).or_default().insert(start.clone(), host)),
                Domain::Any => it.any = Some(host),
            }
        }
        it
    }

    /// The virtual host of a name, in any letter case.
    pub fn find(&self, host: &str) -> Option<usize> {
        // The usual sidecar has one virtual host for everything.
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any;
        }
        let host = if host.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) };
        let exact = self.exact.get(host.as_ref()).copied();
        let longest = |names: &ByLength, part: fn(&str, usize) -> Option<&str>| {
            let shorter = names.iter().filter(|(length, _)| length.0 < host.len());
            shorter.filter_map(|(length, names)| names.get(part(&host, length.0)?)).next().copied()
        };
        exact
            .or_else(|| longest(&self.suffixes, |host, length| host.get(host.len() - length..)))
            .or_else(|| longest(&self.prefixes, |host, length| host.get(..length)))
            .or(self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_domain_wins() {
        let domains = [
            Domain::Any,
            Domain::Prefix("api.".into()),
            Domain::Suffix(".example.com".into()),
            Domain::Suffix(".eu.example.com".into()),
            Domain::Exact("api.example.com".into()),
        ];
        let index = Domains::new(domains.iter().enumerate().map(|(n, d)| (d, n)));
        let of = |host: &str| index.find(host).unwrap();
        assert_eq!(of("API.example.com"), 4);
        assert_eq!(of("a.eu.example.com"), 3);
        assert_eq!(of("b.example.com"), 2);
        assert_eq!(of("api.other"), 1);
        assert_eq!((of("other"), of("api."), of(".example.com"), of("é")), (0, 0, 0, 0));
        assert_eq!(Domains::new([]).find("x"), None);
    }
}
