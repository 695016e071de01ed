//! A TCP proxy before the broker that can cut its connections or fall silent.
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
    /// Connections that were made before this round are cut.
    Cut(usize),
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    mood: watch::Sender<Mood>,
    made: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (mood, follow) = watch::channel(Mood::Pass);
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (client, server) = (client.into_split(), server.into_split());
                tokio::spawn(pump(client.0, server.1, follow.clone(), number));
                tokio::spawn(pump(server.0, client.1, follow.clone(), number));
            }
        });
        Self { port: own, mood, made }
    }

    /// How many connections were made through it.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// Cuts all connections there are; new ones pass.
    pub(crate) fn cut(&self) {
        self.mood.send_replace(Mood::Cut(self.made()));
    }

    /// Keeps all connections and forwards nothing, as a network that drops packets.
    pub(crate) fn fall_silent(&self) {
        self.mood.send_replace(Mood::Silent);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mood: watch::Receiver<Mood>, number: usize) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let cut = |mood: &Mood| matches!(mood, Mood::Cut(before) if number < *before);
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = mood.wait_for(cut) => return,
        };
        let Ok(size @ 1..) = read else { return };
        if mood.wait_for(|mood| *mood != Mood::Silent).await.is_err() || to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}
