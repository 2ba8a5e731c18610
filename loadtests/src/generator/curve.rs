//! A rate over time, linear between points, and the moment at which its integral reaches a value. Pure.

/// Requests per second over seconds. Before the first point its rate stands, after the last point the last one's.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// From points (seconds, requests per second) in order of time. The error says what is wrong with which point.
    pub fn new(points: &[(f64, f64)]) -> Result<Self, String> {
        if points.is_empty() {
            return Err("at least one point [seconds, requests per second] is needed".into());
        }
        for (i, (t, rps)) in points.iter().enumerate() {
            if !t.is_finite() || i > 0 && *t < points[i - 1].0 {
                return Err(format!("point {i}: time {t} is not in order"));
            }
            if !(0.0..=1e7).contains(rps) {
                return Err(format!("point {i}: rate {rps} is not within 0 to 10000000"));
            }
        }
        Ok(Self { points: points.to_vec() })
    }

    /// The rate at `t`.
    pub fn at(&self, t: f64) -> f64 {
        let after = self.points.partition_point(|p| p.0 <= t);
        let Some(&(t0, r0)) = after.checked_sub(1).and_then(|i| self.points.get(i)) else { return self.points[0].1 };
        match self.points.get(after) {
            Some(&(t1, r1)) => r0 + (r1 - r0) * (t - t0) / (t1 - t0),
            None => r0,
        }
    }

    /// The moment after `from` at which `area` more requests have been offered on average; None when that is not before `end`.
    ///
    /// Within a linear piece: r x + s x^2 / 2 = area, solved in the form that loses no digits when s is near 0.
    pub fn advance(&self, from: f64, area: f64, end: f64) -> Option<f64> {
        let (mut t, mut left) = (from, area);
        while t < end {
            let after = self.points.partition_point(|p| p.0 <= t);
            let piece_end = self.points.get(after).map_or(end, |p| p.0).min(end);
            // From here to the end of the piece the rate is a line, also when a step stands at the end.
            let r0 = self.at(t);
            let slope = match (after.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(after)) {
                (Some(&(t0, a)), Some(&(t1, b))) => (b - a) / (t1 - t0),
                _ => 0.0,
            };
            let length = piece_end - t;
            let whole = r0 * length + slope * length * length / 2.0;
            if left <= whole && whole > 0.0 {
                let root = (r0 * r0 + 2.0 * slope * left).max(0.0).sqrt();
                return Some((t + 2.0 * left / (r0 + root)).min(piece_end)).filter(|x| *x < end);
            }
            left -= whole.max(0.0);
            t = piece_end;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_between_points_and_outside_them() {
        let curve = Curve::new(&[(10.0, 100.0), (20.0, 200.0), (20.0, 50.0)]).unwrap();
        assert_eq!(curve.at(0.0), 100.0);
        assert_eq!(curve.at(15.0), 150.0);
        assert_eq!(curve.at(20.0), 50.0);
        assert_eq!(curve.at(99.0), 50.0);
    }

    #[test]
    fn the_integral_is_inverted_exactly() {
        let curve = Curve::new(&[(0.0, 0.0), (10.0, 100.0), (10.0, 50.0), (20.0, 0.0), (30.0, 0.0)]).unwrap();
        // The ramp offers 5 t^2, hence 500 in ten seconds; the way down offers 250 more; then nothing.
        assert!((curve.advance(0.0, 125.0, 30.0).unwrap() - 5.0).abs() < 1e-9);
        assert!((curve.advance(0.0, 500.0, 30.0).unwrap() - 10.0).abs() < 1e-9);
        let x = curve.advance(0.0, 500.0 + 187.5, 30.0).unwrap();
        assert!((x - 15.0).abs() < 1e-9, "{x}");
        assert_eq!(curve.advance(0.0, 751.0, 30.0), None);
        assert_eq!(Curve::new(&[(0.0, 10.0)]).unwrap().advance(5.0, 20.0, 8.0), Some(7.0));
    }

    #[test]
    fn bad_points_are_named() {
        assert!(Curve::new(&[]).is_err());
        assert!(Curve::new(&[(1.0, 1.0), (0.0, 1.0)]).unwrap_err().contains("point 1"));
        assert!(Curve::new(&[(0.0, -1.0)]).unwrap_err().contains("rate -1"));
        assert!(Curve::new(&[(0.0, f64::NAN)]).is_err());
    }
}
