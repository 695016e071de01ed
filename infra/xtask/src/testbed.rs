//! What the stories need around them: a Postgres and a RabbitMQ that they share, and the words that tell them where
//! everything is.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    checkout,
    progress::step,
    servers::{Postgres, PostgresOptions, RabbitMq, RabbitMqOptions},
};

/// Keeps a second run in the same folder from stopping our servers.
pub(crate) fn lock(dir: &Path, command: &str) -> Result<File> {
    checkout::make(dir)?;
    let file = File::create(dir.join("lock")).context("cannot make the lock file")?;
    if file.try_lock().is_err() {
        bail!("another `{command}` runs in this checkout");
    }
    Ok(file)
}

/// The servers that stories share; each story makes a database and a virtual host of its own in them.
pub(crate) struct Servers {
    postgres: Postgres,
    rabbitmq: RabbitMq,
}

/// The programs that stories run.
pub(crate) struct Programs {
    /// The folder of those that were built.
    pub(crate) bin: PathBuf,
    pub(crate) cargo_lambda: PathBuf,
    /// Prometheus's own, where a story asks for it.
    pub(crate) promtool: Option<PathBuf>,
}

impl Servers {
    /// Starts them, empty, in this folder.
    pub(crate) fn start(dir: &Path) -> Result<Servers> {
        let fresh = |name: &str| {
            let dir = dir.join(name);
            // What a killed run left must be stopped before its folder goes.
            drop(crate::pids::Ledger::open(dir.join("pids")));
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", dir.display()))
                }
                _ => Ok(dir),
            }
        };
        let postgres = step("start Postgres for the tests", || {
            // No power cut is tested with this one: without waiting for the disk, a database per test costs
            // tens of milliseconds. Tests that kill a Postgres start their own, with all its safety.
            let settings = [("fsync", "off"), ("max_connections", "400")];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            Postgres::start(&fresh("postgres")?, PostgresOptions { settings, ..PostgresOptions::default() })
        })?;
        let rabbitmq = step("start RabbitMQ for the tests", || {
            RabbitMq::start(&fresh("rabbitmq")?, RabbitMqOptions { management: true, ..RabbitMqOptions::default() })
        })?;
        Ok(Servers { postgres, rabbitmq })
    }

    /// Where the database and the broker are.
    pub(crate) fn urls(&self) -> (String, String) {
        (self.postgres.url(), self.rabbitmq.url())
    }

    /// The environment of a test program.
    pub(crate) fn environment(&self, programs: &Programs) -> Result<Vec<(&'static str, OsString)>> {
        let promtool = programs.promtool.clone().map(|promtool| ("TALKBACK_TEST_PROMTOOL", promtool.into()));
        let mut words = vec![
            ("TALKBACK_TEST_DATABASE_URL", self.postgres.url().into()),
            ("TALKBACK_TEST_AMQP_URL", self.rabbitmq.url().into()),
            ("TALKBACK_TEST_RABBIT_API", self.rabbitmq.api_url().context("no management API")?.into()),
            ("TALKBACK_TEST_BIN", programs.bin.clone().into()),
            ("TALKBACK_TEST_CARGO_LAMBDA", programs.cargo_lambda.clone().into()),
        ];
        words.extend(promtool);
        Ok(words)
    }

    /// Drops the databases that a test program has made; their names have its process id.
    pub(crate) fn forget(&self, pid: i32) -> Result<()> {
        let listed = format!("select datname from pg_database where datname ~ '^(story|template)_{pid}_'");
        for name in self.postgres.psql("postgres", &listed)?.lines() {
            self.postgres.psql("postgres", &format!("drop database if exists \"{name}\" with (force)"))?;
        }
        Ok(())
    }
}
