//! Apprise, as a peer: a Python program that posts through its GroupMe plugin, started once and kept warm.
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::bench::Bench;

/// The running program.
pub(crate) struct Apprise {
    /// Its version.
    pub(crate) version: String,
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Apprise {
    /// Starts it.
    pub(crate) async fn start(bench: &Bench) -> Result<Self> {
        let script = bench.dir.join("apprise_peer.py");
        std::fs::write(&script, include_str!("apprise.py")).context("cannot write Apprise's script")?;
        let mut child = Command::new(&bench.python)
            .arg(&script)
            .arg(format!("{}/bots/post", bench.chat.api_url()))
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start Apprise")?;
        let orders = child.stdin.take().context("no input of Apprise")?;
        let mut answers = BufReader::new(child.stdout.take().context("no output of Apprise")?).lines();
        let ready = answers.next_line().await?.context("Apprise does not start")?;
        let version = ready.strip_prefix("ready ").context("Apprise does not say that it is ready")?.to_owned();
        Ok(Self { version, _child: child, orders, answers })
    }

    /// So many messages to so many rooms; the seconds they took.
    pub(crate) async fn run(&mut self, rooms: usize, messages: usize) -> Result<f64> {
        let start = Instant::now();
        self.orders.write_all(format!("{rooms} {messages}\n").as_bytes()).await?;
        self.orders.flush().await?;
        let answer = self.answers.next_line().await?.context("Apprise has ended")?;
        if answer != "done 0" {
            bail!("Apprise could not post: {answer}");
        }
        Ok(start.elapsed().as_secs_f64())
    }
}
