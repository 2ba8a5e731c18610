//! The webhook's own CA and certificate: made with rcgen, kept in a Secret, renewed at two thirds of their lives.
//!
//! Pure but for randomness; `now` is given. When the CA is renewed, the one before stays in the bundle, so that replicas may load the new
//! certificate at different times.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Life of the CA.
const CA_DAYS: u64 = 730;
/// Life of the certificate.
const CERTIFICATE_DAYS: u64 = 90;
const DAY: u64 = 86_400;
/// Clocks differ: certificates are valid from a little before now.
const BEFORE: u64 = 600;
const CA_NAME: &str = "foreshadow-webhook-ca";
/// Most CAs in the bundle: the new one and the one before.
const BUNDLE: usize = 2;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// Trusted CAs, PEM, the newest first.
    pub bundle: String,
    /// Key of the newest CA, PEM.
    pub ca_key: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    /// When the newest CA ends, seconds since the epoch.
    pub ca_until: u64,
    /// When the certificate ends, seconds since the epoch.
    pub until: u64,
    /// DNS names in the certificate, with commas.
    pub names: String,
}

impl Material {
    /// Made anew.
    ///
    /// # Errors
    /// What rcgen says.
    pub fn fresh(names: &[String], now: u64) -> Result<Self, rcgen::Error> {
        let ca_key = KeyPair::generate()?;
        let ca_until = now + CA_DAYS * DAY;
        let ca = ca_params(now, ca_until)?.self_signed(&ca_key)?;
        Self::signed(ca.pem(), ca_key.serialize_pem(), ca_until, names, now)
    }

    /// What is due, renewed; `None` when nothing is.
    ///
    /// # Errors
    /// What rcgen says.
    pub fn renewed(&self, names: &[String], now: u64) -> Result<Option<Self>, rcgen::Error> {
        if due(self.ca_until, CA_DAYS, now) {
            let mut new = Self::fresh(names, now)?;
            let olds = self.bundle.split_inclusive("-----END CERTIFICATE-----").map(str::trim).filter(|c| !c.is_empty());
            for old in olds.take(BUNDLE - 1) {
                new.bundle.push_str(&format!("{old}\n"));
            }
            return Ok(Some(new));
        }
        if due(self.until, CERTIFICATE_DAYS, now) || self.names != names.join(",") {
            return Self::signed(self.bundle.clone(), self.ca_key.clone(), self.ca_until, names, now).map(Some);
        }
        Ok(None)
    }

    fn signed(bundle: String, ca_key: String, ca_until: u64, names: &[String], now: u64) -> Result<Self, rcgen::Error> {
        let until = (now + CERTIFICATE_DAYS * DAY).min(ca_until);
        let issuer = Issuer::new(ca_params(now, ca_until)?, KeyPair::from_pem(&ca_key)?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("foreshadow", String::as_str));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (at(now.saturating_sub(BEFORE)).into(), at(until).into());
        let certificate = params.signed_by(&key, &issuer)?;
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        Ok(Self { bundle, ca_key, certificate, key, ca_until, until, names: names.join(",") })
    }

    /// As a Secret's data.
    pub fn data(&self) -> BTreeMap<String, Vec<u8>> {
        let texts = [
            ("ca.crt", self.bundle.clone()),
            ("ca.key", self.ca_key.clone()),
            ("tls.crt", self.certificate.clone()),
            ("tls.key", self.key.clone()),
            ("ca-until", self.ca_until.to_string()),
            ("until", self.until.to_string()),
            ("names", self.names.clone()),
        ];
        texts.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect()
    }

    /// From a Secret's data; `None` when something is missing.
    pub fn from_data(data: &BTreeMap<String, Vec<u8>>) -> Option<Self> {
        let text = |name: &str| data.get(name).and_then(|bytes| String::from_utf8(bytes.clone()).ok());
        Some(Self {
            bundle: text("ca.crt")?,
            ca_key: text("ca.key")?,
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            ca_until: text("ca-until")?.parse().ok()?,
            until: text("until")?.parse().ok()?,
            names: text("names")?,
        })
    }
}

/// Two thirds of the life are over.
fn due(until: u64, days: u64, now: u64) -> bool {
    now + days * DAY / 3 >= until
}

fn ca_params(now: u64, until: u64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (at(now.saturating_sub(BEFORE)).into(), at(until).into());
    Ok(params)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["foreshadow-controller.foreshadow.svc".into()]
    }

    #[test]
    fn nothing_is_renewed_before_it_is_due() {
        let made = Material::fresh(&names(), 1_000_000).unwrap();
        assert_eq!(made.renewed(&names(), 1_000_000 + 59 * DAY).unwrap(), None);
        assert_eq!(Material::from_data(&made.data()), Some(made.clone()));
    }

    #[test]
    fn a_certificate_is_renewed_by_the_same_ca_and_a_ca_beside_the_old_one() {
        let made = Material::fresh(&names(), 1_000_000).unwrap();
        let renewed = made.renewed(&names(), 1_000_000 + 60 * DAY).unwrap().unwrap();
        assert_eq!((&renewed.bundle, &renewed.ca_key), (&made.bundle, &made.ca_key));
        assert!(renewed.certificate != made.certificate && renewed.until > made.until);
        let again = renewed.renewed(&names(), 1_000_000 + 500 * DAY).unwrap().unwrap();
        assert_eq!(again.bundle.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(again.bundle.contains(made.bundle.trim()) && again.ca_key != made.ca_key);
        let third = again.renewed(&names(), 1_000_000 + 1_000 * DAY).unwrap().unwrap();
        assert_eq!(third.bundle.matches("BEGIN CERTIFICATE").count(), 2, "the bundle is bounded");
    }

    #[test]
    fn another_name_needs_another_certificate() {
        let made = Material::fresh(&names(), 1_000_000).unwrap();
        let other = vec!["other.foreshadow.svc".to_owned()];
        assert_eq!(made.renewed(&other, 1_000_001).unwrap().unwrap().names, other[0]);
    }
}
