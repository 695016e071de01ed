//! https on a real socket: the name is verified though the address comes from us, and no redirect leads down to http.
//! `tests/` has a root of our own, and a certificate of it for pictures.example.org with its key.
use std::net::SocketAddr;
use std::sync::Mutex;

use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";

/// A server with the certificate that answers every request with this; and how many requests it read.
async fn server(answer: Vec<u8>) -> (SocketAddr, Arc<Mutex<usize>>) {
    crate::tls::install_ring();
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tests/cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tests/key.pem")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(0));
    let seen = requests.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            *seen.lock().unwrap() += 1;
            stream.write_all(&answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, requests)
}

/// A fetcher to which every name is this address, and the names are open at its port.
fn fetcher(address: SocketAddr, names: &[&str]) -> Fetcher {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(include_bytes!("tests/ca.pem")).unwrap()).unwrap();
    Fetcher {
        opened: names.iter().map(|name| Site::parse(&format!("{name}:{}", address.port())).unwrap()).collect(),
        max_bytes: 1000,
        timeout: Duration::from_secs(30),
        account: None,
        names: Names::new(move |_, _| async move { Ok(vec![address]) }),
        tls: rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(),
    }
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Fetched {
    fetcher.picture(url, Instant::now() + fetcher.timeout).await
}

fn answer(head: &str) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", GIF.len()).as_bytes(), GIF].concat()
}

#[tokio::test]
async fn a_picture_comes_by_https_from_the_name_that_the_certificate_has() {
    let (address, requests) = server(answer("200 OK")).await;
    let port = address.port();
    let named = fetcher(address, &["pictures.example.org", "other.example.org", "127.0.0.1"]);
    let fetched = fetch(&named, &format!("https://pictures.example.org:{port}/a.gif")).await;
    assert_eq!(&fetched.result.unwrap().bytes[..], GIF);
    for host in ["other.example.org", "127.0.0.1"] {
        let fetched = fetch(&named, &format!("https://{host}:{port}/a.gif")).await;
        assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Unreachable, None), "{host}");
    }
    assert_eq!(*requests.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_certificate_of_nobody_is_not_trusted() {
    let (address, requests) = server(answer("200 OK")).await;
    let mut fetcher = fetcher(address, &["pictures.example.org"]);
    fetcher.tls = crate::tls::web_client();
    let fetched = fetch(&fetcher, &format!("https://pictures.example.org:{}/a.gif", address.port())).await;
    assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Unreachable, None));
    assert_eq!(*requests.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed_even_to_an_open_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    let (address, requests) = server(answer(&format!("302 Found\r\nLocation: http://{plain}/a.gif"))).await;
    let mut fetcher = fetcher(address, &["pictures.example.org"]);
    fetcher.opened.push(Site::parse(&plain.to_string()).unwrap());
    let fetched = fetch(&fetcher, &format!("https://pictures.example.org:{}/a.gif", address.port())).await;
    assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Address, Some(302)));
    assert_eq!(*requests.lock().unwrap(), 1);
    // What connects waits to be accepted: nobody does.
    let mut asked = std::pin::pin!(listener.accept());
    assert!(futures_util::poll!(&mut asked).is_pending());
}
