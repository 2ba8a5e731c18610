//! Redirects.

use http::StatusCode;

use super::rewrites;
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{Redirect, RedirectPath};

const REDIRECT: Schema = Schema {
    name: "envoy.config.route.v3.RedirectAction",
    fields: "https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite response_code strip_query",
    unsupported: "",
};

/// Reads a `RedirectAction`.
pub fn read(value: &Value<'_>) -> Option<Redirect> {
    let fields = value.message(&REDIRECT)?;
    let status = fields.get("response_code").map_or(Some(StatusCode::MOVED_PERMANENTLY), |v| {
        v.choice(&[
            ("MOVED_PERMANENTLY", 0, StatusCode::MOVED_PERMANENTLY),
            ("FOUND", 1, StatusCode::FOUND),
            ("SEE_OTHER", 2, StatusCode::SEE_OTHER),
            ("TEMPORARY_REDIRECT", 3, StatusCode::TEMPORARY_REDIRECT),
            ("PERMANENT_REDIRECT", 4, StatusCode::PERMANENT_REDIRECT),
        ])
    });
    let scheme = match fields.one_of(&["https_redirect", "scheme_redirect"]) {
        Some(("https_redirect", v)) => v.boolean().unwrap_or(false).then(|| "https".to_owned()),
        Some((_, v)) => text(&v),
        None => None,
    };
    let path = path(&fields);
    let port = fields.get("port_redirect").and_then(|v| v.integer(0, 65_535)).and_then(|p| u16::try_from(p).ok());
    Some(Redirect {
        status: status?,
        scheme,
        host: fields.get("host_redirect").and_then(|v| text(&v)),
        port: port.filter(|p| *p > 0),
        path,
        strip_query: fields.flag("strip_query", false),
    })
}

fn path(fields: &Fields<'_>) -> Option<RedirectPath> {
    match fields.one_of(&["path_redirect", "prefix_rewrite", "regex_rewrite"])? {
        ("path_redirect", v) => text(&v).map(RedirectPath::Whole),
        _ => rewrites::path(fields).map(RedirectPath::Rewritten),
    }
}

/// Part of a header's value; an empty one is none.
fn text(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    super::headers::header_value(value, &text)?;
    (!text.is_empty()).then_some(text)
}
