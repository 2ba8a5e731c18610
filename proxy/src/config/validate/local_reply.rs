//! `local_reply_config`: what answers made here look like.

use super::{access_log, format, headers};
use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::{Format, LocalReply, Mapper, ReplyFormat};

const CONFIG: Schema = Schema {
    name: "envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig",
    fields: "mappers body_format",
    unsupported: "",
};

const MAPPER: Schema = Schema {
    name: "envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper",
    fields: "filter status_code body body_format_override headers_to_add",
    unsupported: "",
};

/// Reads it.
pub fn config(value: &Value<'_>) -> Option<LocalReply> {
    let fields = value.message(&CONFIG)?;
    let mappers = fields.list("mappers").iter().map(mapper).collect::<Option<_>>();
    let format = fields.get("body_format").map(|v| reply_format(&v));
    Some(LocalReply { mappers: mappers?, format: format.map_or(Some(None), |f| f.map(Some))? })
}

fn mapper(value: &Value<'_>) -> Option<Mapper> {
    let fields = value.message(&MAPPER)?;
    let filter = fields.need("filter").and_then(|v| access_log::filter(&v));
    let status = fields.get("status_code").map(|v| v.wrapper().integer(200, 599)).map_or(Some(None), |n| n.map(Some));
    let body = fields.get("body").map(|v| format::source(&v)).map_or(Some(None), |b| b.map(Some));
    let format = fields.get("body_format_override").map(|v| reply_format(&v)).map_or(Some(None), |f| f.map(Some));
    Some(Mapper {
        filter: filter?,
        status: status?.and_then(|n| http::StatusCode::from_u16(n as u16).ok()),
        body: body?,
        headers: headers::additions(&fields.list("headers_to_add")),
        format: format?,
    })
}

fn reply_format(value: &Value<'_>) -> Option<ReplyFormat> {
    let (format, content_type) = format::string(value)?;
    let default = if matches!(format, Format::Json(..)) { "application/json" } else { "text/plain" };
    let content_type = headers::header_value(value, content_type.as_deref().unwrap_or(default))?;
    Some(ReplyFormat { format, content_type })
}
