//! Reads a text with `%COMMAND(arguments):length%` in it. Envoy's rules: `%%` is a percent sign, commands are upper case, what Envoy refuses is
//! refused here, and what only Envoy knows is refused by name.

use super::certificate::{Certified, End, KINDS};
use super::operator::{Name, Operator, Part, SIMPLE};
use super::time::TimeFormat;
use super::{Piece, Template};
use crate::nearest::nearest;
use http::HeaderName;

/// Operators with an optional argument or with parts, for suggestions.
const OTHERS: [&str; 23] = [
    "START_TIME",
    "EMIT_TIME",
    "REQ",
    "RESP",
    "TRAILER",
    "QUERY_PARAM",
    "ENVIRONMENT",
    "HOSTNAME",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_PORT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_PORT",
    "UPSTREAM_HOST",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_REMOTE_PORT",
    "UPSTREAM_LOCAL_ADDRESS",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_LOCAL_PORT",
];

/// What is wrong with a text: what, and what would be right.
pub type Wrong = (String, String);

/// Compiles a text.
///
/// # Errors
/// What is wrong with it.
pub fn template(text: &str) -> Result<Template, Wrong> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let command = command(rest)?;
        rest = &rest[command.length..];
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Field(operator(command.name, command.argument)?, command.limit));
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(Template::new(pieces))
}

/// One command as it stands, and how long it is with its closing percent sign.
struct Command<'a> {
    name: &'a str,
    argument: Option<&'a str>,
    limit: Option<usize>,
    length: usize,
}

fn command(text: &str) -> Result<Command<'_>, Wrong> {
    let open = |what: &str| wrong(format!("`%{}` {what}", head(text)), "expected %COMMAND%, %COMMAND(arguments)% or %% for a percent sign");
    let name_end = text.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).ok_or_else(|| open("has no end"))?;
    let (name, mut rest) = text.split_at(name_end);
    let mut argument = None;
    if let Some(inside) = rest.strip_prefix('(') {
        let end = inside.find(')').ok_or_else(|| open("has no closing parenthesis"))?;
        argument = Some(&inside[..end]);
        rest = &inside[end + 1..];
    }
    let mut limit = None;
    if let Some(digits) = rest.strip_prefix(':') {
        let end = digits.find('%').ok_or_else(|| open("has no end"))?;
        limit = Some(digits[..end].parse().map_err(|_| open("has a length that is not a number"))?);
        rest = &digits[end..];
    }
    let after = rest.strip_prefix('%').ok_or_else(|| open("is not a command"))?;
    if name.is_empty() {
        return Err(open("is not a command"));
    }
    Ok(Command { name, argument, limit, length: text.len() - after.len() })
}

fn head(text: &str) -> String {
    text.chars().take(20).collect()
}

fn operator(name: &str, argument: Option<&str>) -> Result<Operator, Wrong> {
    if let Some((_, simple)) = SIMPLE.iter().find(|s| s.0 == name) {
        none(name, argument)?;
        return Ok(Operator::Simple(*simple));
    }
    if let Some(made) = with_argument(name, argument).or_else(|| certified(name, argument)) {
        return made;
    }
    none(name, argument)?;
    let both = |name: &str, prefix: &str| {
        let rest = name.strip_prefix(prefix)?;
        [("ADDRESS", Part::Both), ("ADDRESS_WITHOUT_PORT", Part::Address), ("PORT", Part::Port)].iter().find(|p| p.0 == rest).map(|p| p.1)
    };
    if name == "HOSTNAME" {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        return Ok(Operator::Hostname(name.trim().to_owned()));
    }
    if matches!(name, "UPSTREAM_HOST" | "UPSTREAM_HOST_NAME") {
        return Ok(Operator::Upstream);
    }
    for (prefix, make) in [
        ("DOWNSTREAM_REMOTE_", Operator::Remote as fn(Part) -> Operator),
        ("DOWNSTREAM_DIRECT_REMOTE_", Operator::DirectRemote),
        ("DOWNSTREAM_LOCAL_", Operator::Local),
        ("UPSTREAM_REMOTE_", Operator::UpstreamRemote),
        ("UPSTREAM_LOCAL_", Operator::UpstreamLocal),
    ] {
        if let Some(part) = both(name, prefix) {
            return Ok(make(part));
        }
    }
    Err(unknown(name))
}

/// Operators that take an argument.
fn with_argument(name: &str, argument: Option<&str>) -> Option<Result<Operator, Wrong>> {
    let bad = |what: String| untimely(name, argument, what);
    Some(match name {
        "START_TIME" => TimeFormat::new(argument.unwrap_or_default()).map(Operator::StartTime).map_err(bad),
        "EMIT_TIME" => TimeFormat::new(argument.unwrap_or_default()).map(Operator::EmitTime).map_err(bad),
        "REQ" => names(name, argument).map(|(first, second)| Operator::Request(first, second)),
        "RESP" => names(name, argument).map(|(first, second)| Operator::Response(first, second)),
        "TRAILER" => names(name, argument).map(|(first, second)| Operator::Trailer(first, second)),
        "QUERY_PARAM" => needed(name, argument).map(|a| Operator::QueryParam(a.to_owned())),
        "ENVIRONMENT" => needed(name, argument).map(|a| Operator::Environment(std::env::var(a).ok())),
        _ => return None,
    })
}

/// Operators of certificates.
fn certified(name: &str, argument: Option<&str>) -> Option<Result<Operator, Wrong>> {
    let ends = [("DOWNSTREAM_PEER_", End::Client), ("UPSTREAM_PEER_", End::Endpoint)];
    let (end, rest) = ends.iter().find_map(|(prefix, end)| Some((*end, name.strip_prefix(prefix)?)))?;
    let what = match rest {
        "CERT_V_START" | "CERT_V_END" => {
            let format = TimeFormat::new(argument.unwrap_or_default()).map_err(|what| untimely(name, argument, what));
            format.map(if rest.ends_with("START") { Certified::From } else { Certified::Until })
        }
        _ => {
            let (_, what) = KINDS.iter().find(|(kind, what)| *kind == rest && what.is_told_of(end))?;
            none(name, argument).map(|()| what.clone())
        }
    };
    Some(what.map(|what| Operator::Peer(end, what)))
}

fn none(name: &str, argument: Option<&str>) -> Result<(), Wrong> {
    match argument {
        Some(text) if !text.is_empty() => {
            Err(wrong(format!("%{name}% takes no arguments, and here is `{text}`"), format!("write %{name}%")))
        }
        _ => Ok(()),
    }
}

fn untimely(name: &str, argument: Option<&str>, what: String) -> Wrong {
    wrong(format!("%{name}({})%: {what}", argument.unwrap_or_default()), "expected the conversions of strftime")
}

fn needed<'a>(name: &str, argument: Option<&'a str>) -> Result<&'a str, Wrong> {
    argument.filter(|a| !a.is_empty()).ok_or_else(|| wrong(format!("%{name}% needs an argument"), format!("write %{name}(name)%")))
}

/// `X?Y`: a header and its alternative.
fn names(operator: &str, argument: Option<&str>) -> Result<(Name, Option<Name>), Wrong> {
    let text = needed(operator, argument)?;
    let mut parts = text.split('?');
    let first = header(operator, parts.next().unwrap_or_default())?;
    let second = parts.next().map(|name| header(operator, name)).transpose()?;
    if parts.next().is_some() {
        return Err(wrong(format!("%{operator}({text})% has more than one alternative"), "expected at most one `?`"));
    }
    Ok((first, second))
}

fn header(operator: &str, text: &str) -> Result<Name, Wrong> {
    let lower = text.to_ascii_lowercase();
    Ok(match lower.as_str() {
        ":method" => Name::Method,
        ":path" => Name::Path,
        ":authority" | "host" => Name::Authority,
        ":scheme" => Name::Scheme,
        ":status" => Name::Status,
        _ => {
            let bad = |_| wrong(format!("%{operator}({text})%: not a header's name"), "expected a name such as X-REQUEST-ID or :PATH");
            Name::Header(lower.parse::<HeaderName>().map_err(bad)?)
        }
    })
}

fn unknown(name: &str) -> Wrong {
    if name.ends_with("_TLS_SESSION_ID") {
        let why = "sessions of TLS 1.3 have no identifier, and those of TLS 1.2 keep theirs to themselves here";
        return wrong(format!("the operator %{name}% is not supported: {why}"), "remove it");
    }
    let of_peers = [("DOWNSTREAM", End::Client), ("UPSTREAM", End::Endpoint)].into_iter().flat_map(|(side, end)| {
        let kinds = KINDS.iter().filter(move |(_, what)| what.is_told_of(end)).map(|k| k.0);
        kinds.chain(["CERT_V_START", "CERT_V_END"]).map(move |kind| format!("{side}_PEER_{kind}"))
    });
    let known: Vec<String> = SIMPLE.iter().map(|s| s.0.to_owned()).chain(OTHERS.map(str::to_owned)).chain(of_peers).collect();
    let right = nearest(name, known.iter().map(String::as_str)).map_or("remove it".to_owned(), |near| format!("did you mean %{near}%?"));
    wrong(format!("the operator %{name}% is unknown or not supported yet"), right)
}

fn wrong(what: impl Into<String>, right: impl Into<String>) -> Wrong {
    (what.into(), right.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Envoy 1.40 was seen to take and to refuse.
    #[test]
    fn verdicts() {
        for good in [
            "%%",
            "plain",
            "%DURATION()%",
            "%REQ(a):0%",
            "%START_TIME(%%)%",
            "%REQ(X-A?:PATH):10% x %RESP(:status)%",
            "%UPSTREAM_REMOTE_PORT%",
            "%DOWNSTREAM_PEER_SERIAL()% %UPSTREAM_PEER_CERT_V_END(%Y)% %UPSTREAM_PEER_CERT_V_START%",
        ] {
            assert!(template(good).is_ok(), "{good}: {:?}", template(good));
        }
        for bad in [
            "%REQ%",
            "%REQ()%",
            "%FOO%",
            "%REQ(a):x%",
            "%REQ(a",
            "a%",
            "%REQ(a?b?c)%",
            "%PROTOCOL(x)%",
            "%RESPONSE_CODE:2",
            "%protocol%",
            "%REQ(a b)%",
            "%UPSTREAM_PEER_SERIAL%",
            "%UPSTREAM_PEER_SUBJECT(x)%",
            "%UPSTREAM_TLS_SESSION_ID%",
        ] {
            assert!(template(bad).is_err(), "{bad}");
        }
        let (what, right) = template("%RESPONSE_CODES%").unwrap_err();
        assert!(what.contains("RESPONSE_CODES") && right.contains("%RESPONSE_CODE%"), "{what}; {right}");
    }

    #[test]
    fn literals_and_percent_signs() {
        assert_eq!(template("100%% of %%PROTOCOL%%").unwrap().fixed().as_deref(), Some("100% of %PROTOCOL%"));
        assert!(template("a %PROTOCOL%").unwrap().fixed().is_none());
    }
}
