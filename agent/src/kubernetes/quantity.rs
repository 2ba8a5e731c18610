//! Kubernetes quantities (`250m`, `1.5Gi`) as numbers, and back.

/// Binary and decimal suffixes with their factors, longest first.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The number that a quantity stands for; `None` when it is none.
pub fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    // `1e3` and `12E3` are exponents, `12E` is a suffix.
    if let Ok(number) = text.parse::<f64>() {
        return Some(number).filter(|n| n.is_finite());
    }
    let (suffix, factor) = SUFFIXES.into_iter().find(|(suffix, _)| text.ends_with(suffix))?;
    text[..text.len() - suffix.len()].parse::<f64>().ok().map(|n| n * factor).filter(|n| n.is_finite())
}

/// Processor time as milli-cores, rounded up, at least one.
pub fn cpu(cores: f64) -> String {
    format!("{}m", (cores * 1_000.0 - 1e-9).ceil().max(1.0) as u64)
}

/// Memory as bytes, or the largest binary unit that says it exactly.
pub fn memory(bytes: f64) -> String {
    let bytes = bytes.ceil().max(1.0) as u64;
    for (unit, size) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_is_read() {
        for (text, number) in
            [("250m", 0.25), ("2", 2.0), ("1.5Gi", 1_610_612_736.0), ("128M", 128e6), ("1e3", 1e3), ("12E", 12e18), ("100u", 1e-4)]
        {
            assert!(parse(text).is_some_and(|n| (n / number - 1.0).abs() < 1e-12), "{text}: {:?}", parse(text));
        }
        assert_eq!((parse("lots"), parse(""), parse("Gi")), (None, None, None));
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        assert_eq!((cpu(0.25).as_str(), cpu(1.0).as_str(), cpu(0.0001).as_str(), cpu(0.3333).as_str()), ("250m", "1000m", "1m", "334m"));
        assert_eq!((memory(536_870_912.0).as_str(), memory(1e6).as_str(), memory(1_536.0).as_str()), ("512Mi", "1000000", "1536"));
    }
}
