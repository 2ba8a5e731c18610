//! TLS settings: what the sample comes to, and what is said of settings that cannot be used.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use foreshadow_proxy::config::model::Protocol;
use foreshadow_proxy::config::model::tls::{NameKind, Version};
use foreshadow_proxy::config::{Source, load};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::envoy;
use crate::support::root;

/// A certificate that signs itself, its key, and the same as an authority.
fn write(dir: &Path) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["payment.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    for place in ["shop", "mesh"] {
        let dir = dir.join(place);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("tls.crt"), &certificate).unwrap();
        std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(dir.join("ca.crt"), &certificate).unwrap();
    }
    std::fs::write(dir.join("other.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    std::fs::write(dir.join("empty"), "").unwrap();
}

/// The sample with its files here.
fn sample(dir: &Path) -> String {
    let text = std::fs::read_to_string(root().join("config/tls.yaml")).unwrap();
    text.replace("/var/run/secrets", &dir.display().to_string())
}

#[test]
fn the_tls_sample_says_what_its_comments_say() {
    let dir = TempDir::new().unwrap();
    write(dir.path());
    let config = load(&Source::text(sample(dir.path()))).unwrap();
    let listener = &config.listeners[0];
    assert!(listener.inspect);
    let chains: Vec<_> = listener.chains.iter().map(|c| (c.name.as_str(), c.tls.is_some())).collect();
    assert_eq!(chains, [("public", true), ("mesh", true), ("probes", false)]);
    assert_eq!(listener.chains[0].matching.as_ref().unwrap().server_names, ["shop.example.com", ".shop.example.com"]);
    let mesh = &config.downstream_tls[1];
    assert!(mesh.require_client_certificate && !config.downstream_tls[0].require_client_certificate);
    assert_eq!((mesh.common.parameters.oldest, mesh.common.validation.names[0].kind), (Version::Tls13, NameKind::Uri));
    let payment = &config.clusters[1];
    assert_eq!((payment.protocol, payment.tls.as_ref().unwrap().sni.as_deref()), (Protocol::Auto, Some("payment.example.com")));
}

#[test]
fn envoy_accepts_the_tls_sample() {
    let Some(envoy) = envoy::binary() else { return };
    let dir = TempDir::new().unwrap();
    write(dir.path());
    let file = dir.path().join("tls.yaml");
    std::fs::write(&file, sample(dir.path())).unwrap();
    assert!(envoy::accepts(&envoy, &file));
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let dir = TempDir::new().unwrap();
    write(dir.path());
    let good = sample(dir.path());
    let without_names = good.replacen("trusted_ca", "verify_certificate_hash: [ab]\n              trusted_ca", 1);
    for (text, field, says) in [
        (good.replacen("shop/tls.crt", "shop/nothing", 1), "tls_certificates[0].certificate_chain", "cannot read"),
        (good.replacen("shop/tls.crt", "empty", 1), "tls_certificates[0].certificate_chain", "there is no certificate in PEM in it"),
        (good.replacen("shop/tls.key", "empty", 1), "tls_certificates[0].private_key", "there is no private key in PEM"),
        (good.replacen("shop/tls.key", "other.key", 1), "tls_certificates[0].private_key", "it is not the key of the certificate"),
        (
            good.replacen("TLSv1_3", "TLSv1_1", 1),
            "tls_params.tls_minimum_protocol_version",
            "TLSv1_1 is not supported yet; expected TLS_AUTO, TLSv1_2, TLSv1_3",
        ),
        (
            good.replacen("tls_minimum_protocol_version: TLSv1_3", "cipher_suites: [AES128-SHA]", 1),
            "tls_params.cipher_suites[0]",
            "the cipher suite `AES128-SHA` is unknown, or too weak",
        ),
        (
            good.replacen("tls_minimum_protocol_version: TLSv1_3", "ecdh_curves: [P-521]", 1),
            "tls_params.ecdh_curves[0]",
            "the curve `P-521` is not supported",
        ),
        (without_names, "validation_context.verify_certificate_hash[0]", "it is not a SHA-256 in hex"),
        (good.replacen("sni: payment.example.com", "sni: \"not a name\"", 1), "typed_config.sni", "it is not a host name"),
        (
            good.replacen("san_type: URI", "san_type: OTHER_NAME", 1),
            "match_typed_subject_alt_names[0].san_type",
            "OTHER_NAME is not supported yet",
        ),
        (
            good.replacen("[shop.example.com, \"*.shop.example.com\"]", "[\"a*.example.com\"]", 1),
            "filter_chain_match.server_names[0]",
            "has a `*` where none can be",
        ),
        (good.replacen("transport_protocol: raw_buffer", "transport_protocol: tls", 1), "filter_chains[2]", "matches the same connections"),
        (
            good.replacen("UpstreamTlsContext", "DownstreamTlsContext", 1),
            "transport_socket.typed_config",
            "is unknown or not supported here",
        ),
    ] {
        let problems = load(&Source::text(text)).unwrap_err();
        let problem = problems.iter().next().unwrap();
        assert!(
            problem.to_string().contains(says) && problem.field.ends_with(field) && problem.line > 20,
            "{says:?} at {field}, not {problem}"
        );
    }
}

#[test]
fn names_are_not_matched_without_an_authority_and_auto_config_wants_tls() {
    let dir = TempDir::new().unwrap();
    write(dir.path());
    let good = sample(dir.path());
    let mesh_ca = format!("              trusted_ca: {{ filename: {}/mesh/ca.crt }}\n", dir.path().display());
    let said = load(&Source::text(good.replacen(&mesh_ca, "", 1))).unwrap_err().to_string();
    assert!(said.contains("names are to be matched without trusted_ca"), "{said}");
    let (start, socket) = good.rsplit_once("    transport_socket:\n").unwrap();
    assert!(socket.contains("payment"));
    let said = load(&Source::text(start.to_owned())).unwrap_err().to_string();
    assert!(said.contains("auto_config wants TLS"), "{said}");
}
