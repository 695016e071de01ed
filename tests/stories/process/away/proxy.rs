//! Between the functions and the broker: lets everything through to the broker, and keeps its answers back, as a network
//! that fails in one direction. What was kept back is never delivered: those connections are cut afterwards.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Pass,
    Silent,
}

pub struct Proxy {
    pub port: u16,
    mood: watch::Sender<Mood>,
    /// Answers of the broker that nobody got.
    swallowed: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (mood, follow) = watch::channel(Mood::Pass);
        let swallowed = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&swallowed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (client, server) = (client.into_split(), server.into_split());
                tokio::spawn(there(client.0, server.1));
                tokio::spawn(back(server.0, client.1, follow.clone(), Arc::clone(&count)));
            }
        });
        Self { port: own, mood, swallowed }
    }

    /// From now on the broker's answers are kept back.
    pub fn fall_silent(&self) {
        self.mood.send_replace(Mood::Silent);
    }

    /// Lets new connections through; returns how many answers were swallowed.
    pub fn pass(&self) -> usize {
        self.mood.send_replace(Mood::Pass);
        self.swallowed.load(Ordering::SeqCst)
    }
}

async fn there(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    // Its end is the end of the connection.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

async fn back(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mood: watch::Receiver<Mood>,
    swallowed: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(size @ 1..) = from.read(&mut buffer).await else { return };
        if *mood.borrow() == Mood::Silent {
            swallowed.fetch_add(1, Ordering::SeqCst);
            let _ = mood.wait_for(|mood| *mood == Mood::Pass).await;
            return;
        }
        if to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}
