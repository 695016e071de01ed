//! A stranger's server of pictures, good ones and hostile ones, on this machine.
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";
pub const GIF: &[u8] = b"GIF89a\x0a\x00\x14\x00\x80\0\0";
pub const JPEG: &[u8] = b"\xff\xd8\xff\xc0\0\x0b\x08\x00\x1e\x00\x28\x01\x01\x11\0";

/// gzip of 16 MiB of zeros would be 16 KiB; its head is enough to be one.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xec\xc1\x01\x01\x00\x00\x00\x80";

/// The server; what it is asked for says how it answers.
pub struct Gallery {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    open: watch::Sender<bool>,
}

impl Gallery {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, open) = (Arc::<Mutex<Vec<String>>>::default(), watch::Sender::new(false));
        let (log, gate) = (Arc::clone(&asked), open.subscribe());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, address.port(), Arc::clone(&log), gate.clone()));
            }
        });
        Self { address, asked, open }
    }

    /// `host:port`, as `[media] allow` has it.
    pub fn site(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// What it was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// From now on `gated.gif` is answered.
    pub fn let_through(&self) {
        self.open.send_replace(true);
    }

    /// `[media]` for a station whose pictures hang here.
    pub fn media(&self, others: &str) -> String {
        format!("\n[media]\nallow = [\"{}\"]\n{others}\n", self.site())
    }
}

async fn serve(mut stream: TcpStream, port: u16, log: Arc<Mutex<Vec<String>>>, mut gate: watch::Receiver<bool>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    log.lock().unwrap().push(path.clone());
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    let file = |bytes: &[u8], more: &str| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n{more}Content-Length: {}\r\n\r\n", bytes.len());
        [head.as_bytes(), bytes].concat()
    };
    let answer = match path.as_str() {
        "a.gif" | "b.gif" => file(GIF, ""),
        "a.jpg" => file(JPEG, ""),
        "large.gif" => file(&[GIF, &[0; 400_000]].concat(), ""),
        "a.png" => file(PNG, ""),
        "gated.gif" => {
            drop(gate.wait_for(|open| *open).await);
            file(GIF, "")
        }
        "page" => file(b"<html>not a picture</html>", ""),
        "gzip" => file(GZIP, "Content-Encoding: gzip\r\n"),
        "metadata" => moved("http://169.254.169.254/latest/meta-data/"),
        "mapped" => moved(&format!("http://[::ffff:127.0.0.1]:{port}/secret.gif")),
        "loopback" => moved(&format!("http://localhost:{port}/secret.gif")),
        "endless" => {
            let begin = b"HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\n\r\nGIF89a";
            let mut sent = stream.write_all(begin).await;
            while sent.is_ok() {
                sent = stream.write_all(&[0; 4096]).await;
            }
            return;
        }
        // Until the caller hangs up.
        "silence" => {
            drop(stream.read(&mut [0; 1]).await);
            return;
        }
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    };
    drop(stream.write_all(&answer).await);
    drop(stream.shutdown().await);
}
