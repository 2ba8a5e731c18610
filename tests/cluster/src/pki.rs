//! The cluster's certificates, made anew for each cluster and never kept.

use crate::error::{Result, write};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use std::path::{Path, PathBuf};

/// A certificate authority with a directory for what it signs.
pub struct Pki {
    dir: PathBuf,
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM text.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Certificate.
    pub certificate: String,
    /// Private key, PKCS#8.
    pub key: String,
}

impl Pki {
    /// Makes an authority and the key that signs ServiceAccount tokens; `<dir>/ca.crt` and `<dir>/service-account.key`.
    pub fn create(dir: &Path) -> Result<Self> {
        let mut params = named("foreshadow-test-cluster-ca", None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let ca_pem = params.self_signed(&key)?.pem();
        write(&dir.join("ca.crt"), &ca_pem)?;
        write(&dir.join("ca.key"), key.serialize_pem())?;
        let signing = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        write(&dir.join("service-account.key"), signing.serialize_pem())?;
        write(&dir.join("service-account.pub"), signing.public_key_pem())?;
        Ok(Self { dir: dir.into(), ca_pem, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate.
    pub fn ca(&self) -> &str {
        &self.ca_pem
    }

    /// Path of a file of this authority.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// A server's certificate for `names` (DNS names and addresses), as `<name>.crt` and `<name>.key`.
    pub fn server(&self, name: &str, names: &[&str]) -> Result<Identity> {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(name, params)
    }

    /// A client's certificate: user and group as Kubernetes reads them, as `<file>.crt` and `<file>.key`.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<Identity> {
        let mut params = named(user, group)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, params)
    }

    fn sign(&self, file: &str, mut params: CertificateParams) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let identity = Identity { certificate, key: key.serialize_pem() };
        write(&self.path(&format!("{file}.crt")), &identity.certificate)?;
        write(&self.path(&format!("{file}.key")), &identity.key)?;
        Ok(identity)
    }
}

fn named(common: &str, organization: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name = name;
    Ok(params)
}
