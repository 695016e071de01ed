//! Stands between one producer and the broker, and does it harm when it hears a certain word: before, or after, the
//! frame that holds it is through.
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is done when the word comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The connections end before the broker has the word; new ones are let through.
    CutBefore,
    /// The broker has it, its answers are swallowed.
    Mute,
    /// The broker has it, then all connections end and none is let through.
    CutAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Mute,
    Cut,
}

pub struct Proxy {
    port: u16,
    struck: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

struct Shared {
    target: (String, u16),
    word: Vec<u8>,
    harm: Option<Harm>,
    heals: Option<Duration>,
    mode: watch::Sender<Mode>,
    struck: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy before the broker of this URL. What it does it undoes after a while, if it heals.
    pub async fn open(url: &str, word: &str, harm: Option<Harm>, heals: Option<Duration>) -> Self {
        let authority = url.split('@').nth(1).unwrap().split('/').next().unwrap();
        let (host, port) = authority.rsplit_once(':').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (struck_sender, struck) = watch::channel(false);
        let shared = Arc::new(Shared {
            target: (host.to_owned(), port.parse().unwrap()),
            word: word.as_bytes().to_vec(),
            harm,
            heals,
            mode: watch::channel(Mode::Open).0,
            struck: struck_sender,
        });
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(Arc::clone(&shared).carry(client));
            }
        });
        Self { port: own, struck, task }
    }

    /// The address of the same virtual host through here.
    pub fn url(&self, url: &str) -> String {
        let (before, after) = url.split_once('@').unwrap();
        let vhost = after.split_once('/').unwrap().1;
        format!("{before}@127.0.0.1:{}/{vhost}", self.port)
    }

    /// Whether the word came by.
    pub fn has_struck(&self) -> bool {
        *self.struck.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// One connection, until either side or the mode ends it.
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let mut mode = self.mode.subscribe();
        if *mode.borrow() == Mode::Cut {
            return;
        }
        let Ok(mut server) = TcpStream::connect((self.target.0.as_str(), self.target.1)).await else { return };
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        // What was said so far, as far as the word may stand in it.
        let mut heard: Vec<u8> = Vec::new();
        let mut swallowed = false;
        loop {
            tokio::select! {
                changed = mode.changed() => {
                    let now = *mode.borrow();
                    // Half an answer is no answer: a line that was mute cannot go on.
                    if changed.is_err() || now == Mode::Cut || (now == Mode::Open && swallowed) {
                        return;
                    }
                }
                read = from_client.read(&mut up) => {
                    let Some(count) = read.ok().filter(|count| *count > 0) else { return };
                    heard.extend_from_slice(&up[..count]);
                    let found = heard.windows(self.word.len()).any(|window| window == self.word);
                    heard.drain(..heard.len().saturating_sub(self.word.len()));
                    let strikes = found && self.harm.is_some() && !self.struck.send_replace(true);
                    if strikes && self.harm == Some(Harm::CutBefore) {
                        return;
                    }
                    if strikes {
                        let harm = if self.harm == Some(Harm::Mute) { Mode::Mute } else { Mode::Cut };
                        if to_server.write_all(&up[..count]).await.is_err() {
                            return;
                        }
                        if harm == Mode::Cut {
                            // So that the broker reads it all before it sees the end.
                            let _ = to_server.flush().await;
                        }
                        self.strike(harm);
                        continue;
                    }
                    if to_server.write_all(&up[..count]).await.is_err() {
                        return;
                    }
                }
                read = from_server.read(&mut down) => {
                    let Some(count) = read.ok().filter(|count| *count > 0) else { return };
                    if *self.mode.borrow() == Mode::Mute {
                        swallowed = true;
                    } else if to_client.write_all(&down[..count]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn strike(self: &Arc<Self>, mode: Mode) {
        self.mode.send_replace(mode);
        if let Some(after) = self.heals {
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                shared.mode.send_replace(Mode::Open);
            });
        }
    }
}
