//! Counts round trips: stands between a client and its server, passes everything on, and holds each answer back for a
//! while. What the client sends after an answer was given to it begins a turn; what it sends without waiting for one, or
//! in many pieces, does not.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Long against everything that a client does without waiting.
const HELD: Duration = Duration::from_millis(40);

/// The proxy. It ends with the program.
pub(crate) struct Turns {
    port: u16,
    count: Arc<AtomicUsize>,
}

impl Turns {
    /// Stands before a server of this machine.
    pub(crate) async fn before(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                let (from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let answered = Arc::new(AtomicBool::new(true));
                let (asked, count) = (Arc::clone(&answered), Arc::clone(&counting));
                // Read at once, however slowly the server reads: a client that must wait to be rid of its words would
                // seem to wait for an answer.
                let mut words = read(from_client);
                tokio::spawn(async move {
                    while let Some((piece, _)) = words.recv().await {
                        if asked.swap(false, Ordering::SeqCst) {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        if to_server.write_all(&piece).await.is_err() {
                            return;
                        }
                    }
                });
                let mut answers = read(from_server);
                tokio::spawn(async move {
                    while let Some((piece, at)) = answers.recv().await {
                        sleep_until(at + HELD).await;
                        answered.store(true, Ordering::SeqCst);
                        if to_client.write_all(&piece).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { port, count })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Turns so far, over all connections.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// Everything that comes, with when it came.
fn read(mut from: impl AsyncRead + Unpin + Send + 'static) -> mpsc::UnboundedReceiver<(Vec<u8>, Instant)> {
    let (sender, pieces) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if sender.send((buffer[..count].to_vec(), Instant::now())).is_err() {
                return;
            }
        }
    });
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_sent_without_waiting_is_one_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let turns = Turns::before(listener.local_addr().unwrap().port()).await.unwrap();
        // A server that answers each byte with itself.
        tokio::spawn(async move {
            let (server, _) = listener.accept().await.unwrap();
            let (mut from, mut to) = server.into_split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let mut client = TcpStream::connect(("127.0.0.1", turns.port())).await.unwrap();
        let mut answer = [0; 3];
        for turn in 1..=4 {
            for byte in [1, 2, 3] {
                client.write_all(&[byte]).await.unwrap();
                client.flush().await.unwrap();
            }
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!((turns.count(), answer), (turn, [1, 2, 3]));
        }
    }
}
