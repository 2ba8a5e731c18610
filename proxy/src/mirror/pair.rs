//! Compares a request's answer with its first copy's: status class, time to the first byte, and, where asked, the whole body.
//!
//! A body is compared by a 64-bit digest, so nothing is held. Called by copies and by the body of production's answer.

use crate::stats::MirrorStats;
use bytes::Bytes;
use http::StatusCode;
use std::cell::Cell;
use std::hash::{DefaultHasher, Hasher as _};
use std::rc::Rc;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Production's answer.
    Production,
    /// The copy's answer.
    Copy,
}

/// What is known of one answer with its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    class: u16,
    first_byte_us: Option<u64>,
}

/// A request's answer and its first copy's.
#[derive(Debug)]
pub struct Pair {
    stats: Rc<MirrorStats>,
    bodies: bool,
    heads: [Cell<Option<Side>>; 2],
    digests: [Cell<Option<u64>>; 2],
}

/// A digest of a body under way.
#[derive(Debug, Default)]
pub struct Digest(DefaultHasher);

/// Shown the body of production's answer.
#[derive(Debug)]
pub struct Watch {
    pairs: Vec<Rc<Pair>>,
    digest: Digest,
}

impl Side {
    /// An answer; the time is None when it was made here.
    pub fn new(status: StatusCode, first_byte_us: Option<u64>) -> Self {
        Self { class: status.as_u16() / 100, first_byte_us }
    }
}

impl Pair {
    /// Of a policy with these numbers; `bodies` are compared, too.
    pub fn new(stats: &Rc<MirrorStats>, bodies: bool) -> Self {
        Self { stats: stats.clone(), bodies, heads: Default::default(), digests: Default::default() }
    }

    /// One of the heads is here. A digest to fill when its body is wanted.
    pub fn head(&self, which: Which, side: Side) -> Option<Digest> {
        self.heads[which as usize].set(Some(side));
        if let [Some(production), Some(copy)] = self.heads.each_ref().map(Cell::get) {
            self.compare(production, copy);
        }
        self.bodies.then(Digest::default)
    }

    /// One of the bodies is complete.
    pub fn body(&self, which: Which, digest: Digest) {
        self.digests[which as usize].set(Some(digest.0.finish()));
        match self.digests.each_ref().map(Cell::get) {
            [Some(production), Some(copy)] if production == copy => self.stats.body_match.add(1),
            [Some(_), Some(_)] => self.stats.body_mismatch.add(1),
            _ => {}
        }
    }

    fn compare(&self, production: Side, copy: Side) {
        if production.class == copy.class {
            self.stats.status_match.add(1);
        } else {
            self.stats.status_mismatch.add(1);
        }
        if let (Some(production), Some(copy)) = (production.first_byte_us, copy.first_byte_us) {
            let (of, difference) =
                if copy >= production { (&self.stats.slower, copy - production) } else { (&self.stats.faster, production - copy) };
            of.borrow_mut().record_us(difference);
        }
    }
}

impl Digest {
    /// The next part of the body. How it is cut into parts makes no difference.
    pub fn add(&mut self, data: &Bytes) {
        self.0.write(data);
    }
}

impl Watch {
    /// Tells pairs of production's answer; a watch for its body, if any of them wants it.
    pub fn of(mut pairs: Vec<Rc<Pair>>, side: Side) -> Option<Box<Self>> {
        pairs.retain(|pair| pair.head(Which::Production, side).is_some());
        (!pairs.is_empty()).then(|| Box::new(Self { pairs, digest: Digest::default() }))
    }

    /// A part of the body passed.
    pub fn frame(&mut self, data: &Bytes) {
        self.digest.add(data);
    }

    /// The body is complete.
    pub fn complete(self) {
        let sum = self.digest.0;
        self.pairs.iter().for_each(|pair| pair.body(Which::Production, Digest(sum.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(status: u16, us: u64) -> Side {
        Side::new(StatusCode::from_u16(status).unwrap(), Some(us))
    }

    #[test]
    fn heads_are_compared_when_both_are_there() {
        let stats = Rc::new(MirrorStats::default());
        let pair = Pair::new(&stats, false);
        assert!(pair.head(Which::Copy, side(500, 3_000)).is_none());
        assert_eq!(stats.status_mismatch.get(), 0);
        pair.head(Which::Production, side(200, 1_000));
        assert_eq!((stats.status_match.get(), stats.status_mismatch.get()), (0, 1));
        assert_eq!((stats.slower.borrow().len(), stats.faster.borrow().len()), (1, 0));
        assert!((1_900..2_100).contains(&(stats.slower.borrow().mean() as u64)));
    }

    #[test]
    fn bodies_are_compared_however_they_are_cut() {
        let stats = Rc::new(MirrorStats::default());
        for (parts, copies) in [(vec!["abc", "def"], vec!["a", "bcdef"]), (vec!["abc"], vec!["abd"]), (vec![], vec![])] {
            let pair = Rc::new(Pair::new(&stats, true));
            let mut copy = pair.head(Which::Copy, side(200, 1)).unwrap();
            let mut watch = Watch::of(vec![pair.clone()], side(200, 1)).unwrap();
            parts.iter().for_each(|p| watch.frame(&Bytes::from_static(p.as_bytes())));
            copies.iter().for_each(|p| copy.add(&Bytes::from_static(p.as_bytes())));
            watch.complete();
            pair.body(Which::Copy, copy);
        }
        assert_eq!((stats.body_match.get(), stats.body_mismatch.get()), (2, 1));
    }
}
