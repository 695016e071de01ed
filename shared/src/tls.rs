//! The one TLS stack: rustls with ring, and its roots.
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Makes ring the process's provider; every client here is built with it. To be called first in `main` and in tests:
/// reqwest panics without one. Calling it again does nothing.
pub fn install_ring() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Mozilla's roots, and those of a PEM file (RDS chains to Amazon's private roots).
///
/// # Errors
/// What is wrong with the PEM.
pub fn roots(ca_pem: Option<&[u8]>) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = ca_pem {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| "DATABASE_CA_FILE is no PEM file of certificates")?;
            roots.add(certificate).map_err(|_| "DATABASE_CA_FILE holds a certificate that is no root")?;
        }
        if roots.len() == before {
            return Err("DATABASE_CA_FILE holds no certificate");
        }
    }
    Ok(roots)
}

/// A client that verifies certificate and name.
///
/// # Errors
/// As [`roots`].
pub fn client(ca_pem: Option<&[u8]>) -> Result<ClientConfig, &'static str> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| "the TLS provider lacks the default protocol versions")?
        .with_root_certificates(roots(ca_pem)?)
        .with_no_client_auth())
}
