//! `transport_socket`: TLS of a filter chain or of a cluster. What a file or an environment variable holds is read here once, so that a
//! certificate that cannot be used refuses the configuration with its place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;

use super::matching;
use super::protocol::AutoNames;
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::Protocol;
use crate::config::model::tls::{
    Common, DownstreamTls, Identity, NameKind, NameMatch, Parameters, Source, UpstreamTls, Validation, Version,
};
use crate::tls::client::Client;
use crate::tls::contexts::alpn;
use crate::tls::server::Server;
use crate::tls::{TlsError, material};

const SOCKET: Schema = Schema { name: "envoy.config.core.v3.TransportSocket", fields: "name typed_config", unsupported: "" };

const DOWNSTREAM: Schema = Schema {
    name: "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    fields: "common_tls_context require_client_certificate disable_stateless_session_resumption disable_stateful_session_resumption",
    unsupported: "require_sni session_ticket_keys session_ticket_keys_sds_secret_config session_timeout ocsp_staple_policy \
        full_scan_certs_on_sni_mismatch prefer_client_ciphers",
};

const UPSTREAM: Schema = Schema {
    name: "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    fields: "common_tls_context sni auto_sni_san_validation",
    unsupported: "auto_host_sni allow_renegotiation max_session_keys enforce_rsa_key_usage",
};

const RAW: Schema = Schema { name: "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", fields: "", unsupported: "" };

const COMMON: Schema = Schema {
    name: "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
    fields: "tls_params tls_certificates validation_context alpn_protocols",
    unsupported: "tls_certificate_sds_secret_configs tls_certificate_provider_instance tls_certificate_certificate_provider \
        tls_certificate_certificate_provider_instance custom_tls_certificate_selector validation_context_sds_secret_config \
        combined_validation_context validation_context_certificate_provider validation_context_certificate_provider_instance \
        custom_handshaker key_log",
};

const CERTIFICATE: Schema = Schema {
    name: "envoy.extensions.transport_sockets.tls.v3.TlsCertificate",
    fields: "certificate_chain private_key watched_directory",
    unsupported: "pkcs12 private_key_provider password ocsp_staple signed_certificate_timestamp",
};

const VALIDATION: Schema = Schema {
    name: "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
    fields: "trusted_ca watched_directory match_typed_subject_alt_names verify_certificate_hash verify_certificate_spki crl \
        only_verify_leaf_cert_crl",
    unsupported: "ca_certificate_provider_instance system_root_certs match_subject_alt_names require_signed_certificate_timestamp \
        allow_expired_certificate trust_chain_verification custom_validator_config max_verify_depth",
};

const NAME: Schema =
    Schema { name: "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher", fields: "san_type matcher", unsupported: "oid" };

const PARAMETERS: Schema = Schema {
    name: "envoy.extensions.transport_sockets.tls.v3.TlsParameters",
    fields: "tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves",
    unsupported: "signature_algorithms compliance_policies",
};

const SOURCE: Schema = Schema {
    name: "envoy.config.core.v3.DataSource",
    fields: "filename inline_bytes inline_string environment_variable",
    unsupported: "watched_directory",
};

const DIRECTORY: Schema = Schema { name: "envoy.config.core.v3.WatchedDirectory", fields: "path", unsupported: "" };

/// Fields whose content is read, with their places.
type Places<'a> = Vec<(String, Value<'a>)>;

/// A filter chain's `transport_socket`; the inner None says plain text.
pub fn downstream(value: &Value<'_>) -> Option<Option<DownstreamTls>> {
    let Some(config) = typed(value, DOWNSTREAM.name)? else { return Some(None) };
    let fields = config.any(&DOWNSTREAM)?;
    let mut places = Vec::new();
    let common = fields.need("common_tls_context").and_then(|v| common(&v, &mut places));
    let required = fields.get("require_client_certificate").and_then(|v| v.wrapper().boolean()).unwrap_or(false);
    // There is no other resumption here than by tickets.
    let off = fields.flag("disable_stateless_session_resumption", false);
    fields.flag("disable_stateful_session_resumption", false);
    let settings = DownstreamTls { common: common?, require_client_certificate: required, resumption: !off };
    if settings.common.identities.is_empty() {
        value.problem("there is no certificate", "expected common_tls_context.tls_certificates");
        return None;
    }
    check(value, &places, Server::new(&settings).err());
    Some(Some(settings))
}

/// A cluster's `transport_socket`; the inner None says plain text.
pub fn upstream(value: &Value<'_>, protocol: Protocol, names: &AutoNames) -> Option<Option<UpstreamTls>> {
    let Some(config) = typed(value, UPSTREAM.name)? else { return Some(None) };
    let fields = config.any(&UPSTREAM)?;
    let mut places = Vec::new();
    let common = fields.get("common_tls_context").map_or(Some(Common::default()), |v| common(&v, &mut places));
    let sni = fields.get("sni").map(|v| (v.string(), v));
    let names_must_fit = fields.flag("auto_sni_san_validation", false) || names.must_fit;
    let name = sni.as_ref().and_then(|(text, _)| text.clone()).filter(|t| !t.is_empty());
    let settings = UpstreamTls { common: common?, sni: name, auto_sni: names.sni.clone(), names_must_fit };
    if settings.common.identities.len() > 1 {
        value.problem("there is more than one certificate", "expected at most one: an endpoint asks for no name");
    }
    places.extend(sni.map(|(_, v)| ("sni".to_owned(), v)));
    check(value, &places, Client::new(&settings, alpn(protocol)).err());
    Some(Some(settings))
}

/// The TLS context of a transport socket; the inner None for plain text.
fn typed<'a>(value: &Value<'a>, wanted: &'static str) -> Option<Option<Value<'a>>> {
    let fields = value.message(&SOCKET)?;
    fields.need("name").map(|v| v.name());
    let config = fields.need("typed_config")?;
    let name = config.type_name()?;
    if name == RAW.name {
        config.any(&RAW);
        return Some(None);
    }
    if name != wanted {
        config.wrong_type(&name, &[wanted, RAW.name]);
        return None;
    }
    Some(Some(config))
}

/// Notes why a context cannot be made, at the field that is to blame.
fn check(value: &Value<'_>, places: &Places<'_>, problem: Option<TlsError>) {
    let Some(TlsError { field, why }) = problem else { return };
    let place = places.iter().find(|(name, _)| *name == field).map_or(value, |(_, v)| v);
    place.problem(
        why,
        "expected what rustls can use: PEM, keys without a password, RSA of 2048 bits or more, ECDSA on P-256 or P-384, Ed25519",
    );
}

fn common<'a>(value: &Value<'a>, places: &mut Places<'a>) -> Option<Common> {
    let fields = value.message(&COMMON)?;
    let identities = fields.list("tls_certificates");
    let identities: Vec<_> = identities.iter().enumerate().filter_map(|(nth, v)| identity(v, nth, places)).collect();
    let validation = fields.get("validation_context").map_or(Some(Validation::default()), |v| validation(&v, places));
    let alpn = fields.list("alpn_protocols").iter().filter_map(Value::name).collect();
    let parameters = fields.get("tls_params").map_or(Some(Parameters::default()), |v| parameters(&v));
    Some(Common { identities, validation: validation?, alpn, parameters: parameters? })
}

fn identity<'a>(value: &Value<'a>, nth: usize, places: &mut Places<'a>) -> Option<Identity> {
    let fields = value.message(&CERTIFICATE)?;
    watched(&fields);
    let mut part = |name: &str| {
        let value = fields.need(name)?;
        let found = source(&value);
        places.push((format!("tls_certificates[{nth}].{name}"), value));
        found
    };
    let (chain, key) = (part("certificate_chain"), part("private_key"));
    Some(Identity { chain: chain?, key: key? })
}

/// Files are looked at again and again anyway, also through links.
fn watched(fields: &Fields<'_>) {
    if let Some(directory) = fields.get("watched_directory").and_then(|v| v.message(&DIRECTORY)) {
        directory.need("path").map(|v| v.name());
    }
}

fn source(value: &Value<'_>) -> Option<Source> {
    let fields = value.message(&SOURCE)?;
    match fields.need_one_of(&["filename", "inline_bytes", "inline_string", "environment_variable"])? {
        ("filename", v) => v.name().map(|path| Source::File(PathBuf::from(path))),
        ("environment_variable", v) => v.name().map(Source::Environment),
        ("inline_string", v) => v.name().map(|text| Source::Inline(text.into_bytes().into())),
        (_, v) => {
            let text = v.name()?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
            bytes
                .map_err(|why| v.problem(format!("it is not base64: {why}"), "expected base64, or inline_string"))
                .ok()
                .map(|b| Source::Inline(b.into()))
        }
    }
}

fn validation<'a>(value: &Value<'a>, places: &mut Places<'a>) -> Option<Validation> {
    let fields = value.message(&VALIDATION)?;
    watched(&fields);
    let mut part = |name: &str| match fields.get(name) {
        Some(value) => {
            let found = source(&value);
            places.push((format!("validation_context.{name}"), value));
            found.map(Some)
        }
        None => Some(None),
    };
    let (trusted_ca, crl) = (part("trusted_ca"), part("crl"));
    let (trusted_ca, crl) = (trusted_ca?, crl?);
    if crl.is_some() && trusted_ca.is_none() {
        value.problem("there is a crl without trusted_ca", "expected trusted_ca: lists count for the authorities that are trusted");
    }
    let names: Vec<_> = fields.list("match_typed_subject_alt_names").iter().filter_map(name).collect();
    if !names.is_empty() && trusted_ca.is_none() {
        value.problem("names are to be matched without trusted_ca", "expected trusted_ca: anyone can make a certificate with any name");
    }
    let hashes = |field: &str, read: fn(&Value<'_>) -> Option<[u8; 32]>| fields.list(field).iter().filter_map(read).collect();
    Some(Validation {
        trusted_ca,
        crl,
        crl_leaf_only: fields.flag("only_verify_leaf_cert_crl", false),
        names,
        certificate_hashes: hashes("verify_certificate_hash", hex),
        key_hashes: hashes("verify_certificate_spki", base64_hash),
    })
}

fn name(value: &Value<'_>) -> Option<NameMatch> {
    let fields = value.message(&NAME)?;
    let kinds = [("EMAIL", 1, NameKind::Email), ("DNS", 2, NameKind::Dns), ("URI", 3, NameKind::Uri), ("IP_ADDRESS", 4, NameKind::Ip)];
    let kind = fields.need("san_type").and_then(|v| v.supported_choice(&kinds, &[("OTHER_NAME", 5)]));
    let text = fields.need("matcher").and_then(|v| matching::string(&v));
    Some(NameMatch { kind: kind?, text: text? })
}

/// SHA-256 in hex, with or without colons.
fn hex(value: &Value<'_>) -> Option<[u8; 32]> {
    let text: String = value.name()?.chars().filter(|c| *c != ':').collect();
    let digits = text.is_ascii() && text.len() == 64;
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = if digits { (0..64).step_by(2).map(byte).collect() } else { None };
    let sum = bytes.and_then(|b| b.try_into().ok());
    if sum.is_none() {
        value.problem("it is not a SHA-256 in hex", "expected 64 hex digits, with or without colons");
    }
    sum
}

fn base64_hash(value: &Value<'_>) -> Option<[u8; 32]> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.name()?).ok();
    let sum = bytes.and_then(|b| b.try_into().ok());
    if sum.is_none() {
        value.problem("it is not a SHA-256 in base64", "expected 44 characters of base64");
    }
    sum
}

fn parameters(value: &Value<'_>) -> Option<Parameters> {
    let fields = value.message(&PARAMETERS)?;
    let version = |name: &str, auto| {
        let choices = [("TLS_AUTO", 0, auto), ("TLSv1_2", 3, Version::Tls12), ("TLSv1_3", 4, Version::Tls13)];
        let old = [("TLSv1_0", 1), ("TLSv1_1", 2)];
        fields.get(name).map_or(Some(auto), |v| v.supported_choice(&choices, &old))
    };
    let oldest = version("tls_minimum_protocol_version", Version::Tls12);
    let newest = version("tls_maximum_protocol_version", Version::Tls13);
    let (oldest, newest) = (oldest?, newest?);
    if oldest > newest {
        value.problem("the oldest version is newer than the newest", "expected the minimum not above the maximum");
    }
    let suites = fields.list("cipher_suites").iter().flat_map(suites).collect();
    let groups = fields.list("ecdh_curves").iter().filter_map(group).collect();
    Some(Parameters { oldest, newest, suites, groups })
}

/// One suite, or several of the same preference in brackets.
fn suites(value: &Value<'_>) -> Vec<String> {
    let Some(text) = value.name() else { return Vec::new() };
    let names = text.trim_start_matches('[').trim_end_matches(']').split('|').map(str::to_owned).collect::<Vec<_>>();
    for name in names.iter().filter(|n| !material::is_modern_suite(n)) {
        let known = material::suites().collect::<Vec<_>>().join(", ");
        value.problem(format!("the cipher suite `{name}` is unknown, or too weak to be supported"), format!("expected some of {known}"));
    }
    names
}

fn group(value: &Value<'_>) -> Option<String> {
    let name = value.name()?;
    if !["X25519", "P-256", "P-384"].contains(&name.as_str()) {
        value.problem(format!("the curve `{name}` is not supported"), "expected X25519, P-256 or P-384");
        return None;
    }
    Some(name)
}

/// Bound on a handshake when none is given.
pub const HANDSHAKE: Duration = Duration::from_secs(15);

/// Puts settings where filter chains refer to them by index.
pub fn index(all: &mut Vec<Arc<DownstreamTls>>, settings: DownstreamTls) -> usize {
    all.push(Arc::new(settings));
    all.len() - 1
}
