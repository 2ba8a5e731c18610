//! Makes two accounts comparable: what must vary is replaced by a word, what has no meaning is put in order.
//!
//! [`RULES`] says all that is done; a report prints it. Everything else is compared to the byte.

use crate::programs::Product;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is made equal before comparing, and why.
pub const RULES: [(&str, &str); 10] = [
    ("date", "the value is `<date>` if it is an IMF-fixdate: two clocks"),
    ("uuid", "random ids are numbered in the order they appear: equal ids stay equal"),
    ("ports", "ports of backends are replaced by their names: each run has its own"),
    ("x-envoy-upstream-service-time", "`<ms>`: a measurement"),
    ("header order", "lines are sorted by name, values of one name keep their order (RFC 9110, section 5.3)"),
    ("server", "the default value `envoy` or `foreshadow` is `<product>`"),
    (
        "marks of copies",
        "our `x-foreshadow-copy: 1` is left out, by design (no loops); so are Envoy's `x-envoy-internal` and its own address in \
      x-forwarded-for, which Envoy adds to copies only and which a shadow could take for the truth",
    ),
    (
        "x-forwarded-for",
        "Envoy writes the machine's own address for a client on loopback; it is replaced by the client's, which ours writes",
    ),
    ("x-envoy-expected-rq-timeout-ms", "`<rest>` on requests tried again: what is left of the timeout"),
    ("chunk sizes", "bodies are compared decoded: sizes of chunks and frames depend on timing"),
];

/// A head's lines: start line, then header lines sorted by name.
pub fn head(head: &str) -> Vec<String> {
    let mut lines = head.split("\r\n").filter(|l| !l.is_empty());
    let mut all = vec![format!("  {}", lines.next().unwrap_or_default())];
    let mut headers: Vec<&str> = lines.collect();
    headers.sort_by_key(|l| l.split(':').next().unwrap_or_default().to_ascii_lowercase());
    all.extend(headers.into_iter().map(|l| format!("  {}", vary(l))));
    all
}

fn vary(line: &str) -> String {
    let Some((name, value)) = line.split_once(':') else { return line.to_owned() };
    let value = value.trim_start();
    match name.to_ascii_lowercase().as_str() {
        "date" if is_date(value) => format!("{name}: <date>"),
        "x-envoy-upstream-service-time" if value.parse::<u64>().is_ok() => format!("{name}: <ms>"),
        "server" if matches!(value, "envoy" | "foreshadow") => format!("{name}: <product>"),
        _ => format!("{name}: {value}"),
    }
}

fn is_date(value: &str) -> bool {
    value.len() == 29 && value.ends_with(" GMT") && value.as_bytes()[3] == b','
}

/// A body: short ones as they are, long ones by length and sum.
pub fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= 200 {
        return format!("{:?}", String::from_utf8_lossy(bytes));
    }
    // FNV-1a, 64 bits.
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("<{} bytes, sum {sum:016x}>", bytes.len())
}

/// Raw bytes of a whole answer, its head made comparable.
pub fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.split_once("\r\n\r\n") {
        Some((before, body)) => format!("{} | {}", head(before).join(" | "), shown(body.as_bytes())),
        None => shown(bytes),
    }
}

/// Leaves out what copies carry by design: our mark; Envoy's `x-envoy-internal` and the address it adds to `x-forwarded-for`.
pub fn without_marks(lines: Vec<String>, product: Product) -> Vec<String> {
    let mut kept = Vec::new();
    for line in lines {
        let added = line.strip_prefix("  x-forwarded-for: ").filter(|_| product == Product::Envoy);
        match (product, added) {
            (Product::Foreshadow, _) if line == "  x-foreshadow-copy: 1" => {}
            (Product::Envoy, _) if line == "  x-envoy-internal: true" => {}
            (_, Some(addresses)) => {
                kept.extend(addresses.rsplit_once(',').map(|(before, _)| format!("  x-forwarded-for: {before}")));
            }
            _ => kept.push(line),
        }
    }
    kept
}

/// Replaces ports by names, and ids by numbers.
pub fn normalise(lines: &[String], ports: &BTreeMap<u16, String>) -> Vec<String> {
    let mut ids = Vec::new();
    lines.iter().map(|l| number_ids(&name_ports(l, ports), &mut ids)).collect()
}

/// Envoy's `x-forwarded-for` with the client's address in it: it writes the machine's own for a client on loopback.
pub fn with_loopback(lines: Vec<String>, own: &str) -> Vec<String> {
    let ends = |l: &String| l.starts_with("  x-forwarded-for: ") && l.ends_with(own);
    lines.into_iter().map(|l| if ends(&l) { format!("{}127.0.0.1", &l[..l.len() - own.len()]) } else { l }).collect()
}

/// A head of a request tried again: Envoy writes what is left of the timeout.
pub fn with_rest_of_timeout(lines: Vec<String>) -> Vec<String> {
    const NAME: &str = "  x-envoy-expected-rq-timeout-ms: ";
    lines.into_iter().map(|l| if l.starts_with(NAME) { format!("{NAME}<rest>") } else { l }).collect()
}

/// The machine's own address, as Envoy finds it: where packets to the outside would come from. None are sent.
pub fn own_address() -> String {
    let found = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|s| s.connect("192.0.2.1:9").and_then(|()| s.local_addr()));
    found.map_or_else(|_| "127.0.0.1".into(), |a| a.ip().to_string())
}

fn name_ports(line: &str, ports: &BTreeMap<u16, String>) -> String {
    let mut line = line.to_owned();
    for (port, name) in ports {
        let (from, mut at) = (format!(":{port}"), 0);
        while let Some(found) = line[at..].find(&from).map(|f| f + at) {
            let end = found + from.len();
            if line[end..].starts_with(|c: char| c.is_ascii_digit()) {
                at = end;
            } else {
                line.replace_range(found..end, &format!(":<{name}>"));
                at = found + 1;
            }
        }
    }
    line
}

fn number_ids(line: &str, ids: &mut Vec<String>) -> String {
    let bytes = line.as_bytes();
    let (mut text, mut at) = (String::new(), 0);
    let mut copied = 0;
    while at + 36 <= bytes.len() {
        if !is_uuid(&bytes[at..at + 36]) {
            at += 1;
            continue;
        }
        let id = line[at..at + 36].to_owned();
        let nth = ids.iter().position(|i| *i == id).unwrap_or_else(|| {
            ids.push(id);
            ids.len() - 1
        });
        text.push_str(&line[copied..at]);
        let _ = write!(text, "<uuid {}>", nth + 1);
        at += 36;
        copied = at;
    }
    text.push_str(&line[copied..]);
    text
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(i, b)| match i {
        8 | 13 | 18 | 23 => *b == b'-',
        14 => *b == b'4',
        _ => b.is_ascii_hexdigit() && !b.is_ascii_uppercase(),
    })
}

/// The lines in which two accounts differ: `-` Envoy's, `+` ours. None when they are the same.
pub fn difference(envoy: &[String], ours: &[String]) -> Option<String> {
    if envoy == ours {
        return None;
    }
    let mut text = String::new();
    let table = common(envoy, ours);
    let (mut i, mut j) = (0, 0);
    while i < envoy.len() || j < ours.len() {
        if i < envoy.len() && j < ours.len() && envoy[i] == ours[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == ours.len() || i < envoy.len() && table[i + 1][j] >= table[i][j + 1] {
            let _ = writeln!(text, "- {}", envoy[i].trim_end());
            i += 1;
        } else {
            let _ = writeln!(text, "+ {}", ours[j].trim_end());
            j += 1;
        }
    }
    Some(text)
}

/// Lengths of the longest common runs of lines from each pair of places on.
fn common(a: &[String], b: &[String]) -> Vec<Vec<usize>> {
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i][j] = if a[i] == b[j] { table[i + 1][j + 1] + 1 } else { table[i + 1][j].max(table[i][j + 1]) };
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|l| (*l).to_owned()).collect()
    }

    #[test]
    fn a_difference_names_the_lines() {
        assert_eq!(difference(&lines(&["a", "b", "c"]), &lines(&["a", "b", "c"])), None);
        assert_eq!(difference(&lines(&["a", "b", "c"]), &lines(&["a", "x", "c"])).unwrap(), "- b\n+ x\n");
        assert_eq!(difference(&lines(&["a"]), &lines(&["a", "x"])).unwrap(), "+ x\n");
    }

    #[test]
    fn ids_stay_equal_or_different() {
        let (one, two) = ("0b3c7f6a-1111-4222-8333-444444444444", "1b3c7f6a-1111-4222-8333-444444444444");
        let made = normalise(&lines(&[one, two, &format!("a {one} b")]), &BTreeMap::new());
        assert_eq!(made, ["<uuid 1>", "<uuid 2>", "a <uuid 1> b"]);
        // Another version is not random, and stays.
        assert_eq!(normalise(&lines(&["0b3c7f6a-1111-1222-8333-444444444444"]), &BTreeMap::new())[0].len(), 36);
    }

    #[test]
    fn ports_get_names_and_longer_numbers_stay() {
        let ports = [(80, "app".to_owned())].into();
        assert_eq!(normalise(&lines(&["a:80/ b:8080 c:80"]), &ports), ["a:<app>/ b:8080 c:<app>"]);
    }

    #[test]
    fn what_varies_is_replaced_only_where_it_looks_right() {
        let made = head("HTTP/1.1 200 OK\r\nx-b: 1\r\ndate: Tue, 15 Nov 1994 08:12:31 GMT\r\na: 2\r\nx-b: 0\r\nserver: mine\r\n");
        assert_eq!(made, ["  HTTP/1.1 200 OK", "  a: 2", "  date: <date>", "  server: mine", "  x-b: 1", "  x-b: 0"]);
        assert_eq!(head("x\r\ndate: today\r\n")[1], "  date: today");
    }
}
