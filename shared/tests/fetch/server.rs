//! A server on loopback that reads a request and answers with whatever bytes it likes.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A server and what it was asked. It ends with the story's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    ended: mpsc::UnboundedReceiver<usize>,
}

impl Server {
    /// `answer` gets the place of the connection and its stream, from which the request's head was read, and returns
    /// how many bytes it could send.
    pub(crate) async fn start<F, Answer>(answer: F) -> Self
    where
        F: Fn(usize, TcpStream) -> Answer + Send + 'static,
        Answer: Future<Output = usize> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = mpsc::unbounded_channel();
        let seen = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                let place = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request);
                    seen.len() - 1
                };
                let (answer, end) = (answer(place, stream), end.clone());
                tokio::spawn(async move { end.send(answer.await) });
            }
        });
        Self { address, requests, ended }
    }

    /// Answers each connection with the next of these, then with the last for ever, and closes it.
    pub(crate) async fn saying(answers: Vec<Vec<u8>>) -> Self {
        Self::start(move |place, mut stream| {
            let answer = answers[place.min(answers.len() - 1)].clone();
            async move {
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.unwrap();
                answer.len()
            }
        })
        .await
    }

    /// Sends `head`, then `more` again and again, with a pause between, until the other side has gone.
    pub(crate) async fn pouring(head: Vec<u8>, more: &'static [u8], pause: Duration) -> Self {
        Self::start(move |_, mut stream| {
            let head = head.clone();
            async move {
                let mut sent = head.len();
                let mut next = &head[..];
                while stream.write_all(next).await.is_ok() {
                    sent += more.len();
                    next = more;
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                sent
            }
        })
        .await
    }

    pub(crate) fn site(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far, one a connection; an empty one where nothing was said.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// How many bytes the next connection that is over could be sent.
    pub(crate) async fn sent(&mut self) -> usize {
        let ended = tokio::time::timeout(crate::LONG, self.ended.recv()).await;
        ended.expect("the connection is still open").unwrap()
    }
}

/// The head of a request, and as much of its body as it announces.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let mut lengths = head
                .lines()
                .filter_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let length: usize = lengths.next_back().unwrap_or(0);
            if bytes.len() >= head.len() + 4 + length {
                return text;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// An answer of HTTP with its length.
pub(crate) fn http(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A redirect.
pub(crate) fn to(location: &str) -> Vec<u8> {
    http(302, &format!("Location: {location}\r\n"), b"")
}
