//! How a host's name becomes addresses.
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// A way to learn the addresses of a name. The names that must be refused (one that resolves to a public and a private
/// address, one that changes) are in nobody's DNS, so this is given from outside. A clone asks the same.
#[derive(Clone)]
pub struct Names(Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>);

impl Names {
    /// As this machine resolves them.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|host: String, port| async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }

    /// As `resolve` says, which is given the host and the port.
    pub fn new<F, Answer>(resolve: F) -> Self
    where
        F: Fn(String, u16) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |host, port| Box::pin(resolve(host, port))))
    }

    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (self.0)(host.to_owned(), port).await
    }
}
