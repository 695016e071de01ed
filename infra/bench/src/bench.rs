//! What all rows share: the servers, the simulated chat, the programs.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use groupme_sim::{Bot, Sim, SimConfig};
use xtask::pids::Ledger;
use xtask::servers::{Postgres, PostgresOptions};

/// Rooms of the simulated chat.
pub(crate) const ROOMS: usize = 100;

/// How often each thing is measured; the middle one counts.
pub(crate) const ROUNDS: usize = 5;

/// What is measured with.
pub(crate) struct Bench {
    /// Small sizes: nothing is judged by them.
    pub(crate) quick: bool,
    /// Where everything is kept.
    pub(crate) dir: PathBuf,
    /// Where the binaries of the functions are.
    programs: PathBuf,
    /// The Python that has Apprise.
    pub(crate) python: PathBuf,
    /// In this process, on a thread of its own: so it is known to the microsecond when a post arrived. Every peer posts
    /// to the same one over loopback.
    pub(crate) chat: Sim,
    pub(crate) postgres: Postgres,
    pub(crate) ledger: Ledger,
}

impl Bench {
    /// Starts the database and the chat.
    pub(crate) async fn start(quick: bool, dir: &Path, programs: PathBuf, python: PathBuf) -> Result<Self> {
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs).context("cannot make the folder of logs")?;
        let ledger = Ledger::open(dir.join("pids"))?;
        // Made anew: what an earlier run left would be measured, too.
        let cluster = dir.join("postgres");
        drop(Ledger::open(cluster.join("pids")));
        if cluster.exists() {
            std::fs::remove_dir_all(&cluster).context("cannot remove the old database")?;
        }
        let postgres = Postgres::start(&cluster, PostgresOptions::default())?;
        let bots = (0..ROOMS).map(|n| Bot {
            bot_id: Self::bot(n),
            group_id: Self::group(n),
            name: "Talkback".to_owned(),
            callback_url: None,
        });
        let chat = Sim::start(SimConfig { bots: bots.collect(), access_token: None, port: 0 }).await?;
        for n in 0..ROOMS {
            chat.set_pace(&Self::bot(n), Duration::ZERO, 1);
        }
        let bench = Self { quick, dir: dir.to_owned(), programs, python, chat, postgres, ledger };
        bench.migrate().await?;
        Ok(bench)
    }

    /// The bot of a room of the simulated chat.
    pub(crate) fn bot(n: usize) -> String {
        format!("bot{n}")
    }

    /// Its group.
    pub(crate) fn group(n: usize) -> String {
        format!("1000{n}")
    }

    /// The binary of a function.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let program = self.programs.join(name);
        if !program.is_file() {
            bail!("{} is not there: it is built by `cargo xtask bench`", program.display());
        }
        Ok(program)
    }

    /// The address of a database.
    pub(crate) fn url_of(&self, database: &str) -> String {
        self.postgres.url_of(database)
    }

    /// A database with the relay's tables, without rows.
    pub(crate) async fn database(&self, name: &str) -> Result<()> {
        // Who migrated it may not have ended its session yet, and it is copied only when nobody uses it.
        let others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'talkback'";
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            self.postgres.psql("postgres", others)?;
            match self.postgres.psql("postgres", &format!("create database {name} template talkback")) {
                Err(error) if error.to_string().contains("being accessed") && Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => return other.map(drop),
            }
        }
    }

    /// Takes a database away, which may be large.
    pub(crate) fn drop_database(&self, name: &str) -> Result<()> {
        self.postgres.psql("postgres", &format!("drop database {name} with (force)")).map(drop)
    }

    /// A connection as peers have it.
    pub(crate) async fn connect(&self, database: &str) -> Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&self.url_of(database), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn migrate(&self) -> Result<()> {
        let url = self.postgres.url().into();
        let store = talkback::store::Store::new(&url, None, Duration::from_secs(30), 1)?;
        store.migrate().await?;
        Ok(())
    }

    /// Waits until so many posts have come to the chat.
    pub(crate) async fn posts(&self, wanted: usize, patience: Duration) -> Result<()> {
        let end = Instant::now() + patience;
        while self.chat.post_count() < wanted {
            if Instant::now() > end {
                bail!("{} posts instead of {wanted}", self.chat.post_count());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// A size: one that counts, or a small one.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}
