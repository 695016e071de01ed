//! The one TLS stack: rustls with ring.

/// Makes ring the provider of every TLS connection of this process. Call it first in `main`: reqwest panics without a
/// provider. A second call changes nothing.
pub fn install_ring() {
    // An error says only that a provider is there already, and no other than ring is linked.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client that trusts the roots of the web, which are part of the program: an image may have no CA files.
#[must_use]
pub fn web_client() -> rustls::ClientConfig {
    install_ring();
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}
