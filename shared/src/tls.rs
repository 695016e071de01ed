//! The one TLS stack: rustls with ring, and its roots.
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Makes ring the provider of every TLS connection of this process. Call it first in `main`: reqwest panics without a
/// provider. A second call changes nothing.
pub fn install_ring() {
    // An error says only that a provider is there already, and no other than ring is linked.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client that trusts the roots of the web, which are part of the program: an image may have no CA files.
#[must_use]
pub fn web_client() -> ClientConfig {
    client_of(web_roots())
}

/// The same, trusting also the roots of a PEM file: RDS and Aurora chain to Amazon's private ones.
///
/// # Errors
/// What is wrong with the file, by the setting's name.
pub fn client_with(ca_pem: &[u8]) -> Result<ClientConfig, &'static str> {
    let mut roots = web_roots();
    let known = roots.len();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let certificate = certificate.map_err(|_| "DATABASE_CA_FILE: no PEM file of certificates")?;
        roots.add(certificate).map_err(|_| "DATABASE_CA_FILE: holds a certificate that cannot be a root")?;
    }
    if roots.len() == known { Err("DATABASE_CA_FILE: holds no certificate") } else { Ok(client_of(roots)) }
}

fn web_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn client_of(roots: RootCertStore) -> ClientConfig {
    install_ring();
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}
