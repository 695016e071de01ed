//! A private PostgreSQL cluster.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::{
    accounts::{self, Account},
    children::{self, Child},
    pids::Ledger,
    ports, programs, secrets,
};

/// The superuser of the cluster, and the database that is made in it.
const NAME: &str = "talkback";

/// The oldest major version whose SQL we use.
pub const OLDEST: u32 = 13;

/// How a cluster is to be.
#[derive(Default)]
pub struct Options {
    /// The port; a free one if not given.
    pub port: Option<u16>,
    /// The superuser's password; one that is made and kept in the folder if not given.
    pub password: Option<String>,
    /// The log file; `log` in the folder if not given.
    pub log: Option<PathBuf>,
    /// Settings beside our own, as in postgresql.conf: `("max_connections", "20")`.
    pub settings: Vec<(String, String)>,
}

/// A cluster that runs. It is stopped when this is dropped.
pub struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
    password: String,
    log: PathBuf,
    settings: Vec<(String, String)>,
    account: Option<Account>,
    ledger: Ledger,
    server: Option<Child>,
}

/// The folder that holds the newest usable `initdb` and `postgres`: among those of PATH and of Debian's packages.
pub fn find() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|dir| dir.path().join("bin"));
    programs::find("initdb")
        .and_then(|initdb| Some(initdb.canonicalize().ok()?.parent()?.to_path_buf()))
        .into_iter()
        .chain(debian)
        .filter(|bin| ["initdb", "postgres", "psql"].iter().all(|name| programs::is_executable(&bin.join(name))))
        .filter_map(|bin| Some((version(&bin)?, bin)))
        .filter(|(version, _)| *version >= OLDEST)
        .max_by_key(|(version, _)| *version)
        .map(|(_, bin)| bin)
}

fn version(bin: &Path) -> Option<u32> {
    // "initdb (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    let said = programs::output(Command::new(bin.join("initdb")).arg("--version")).ok()?;
    said.split(')').nth(1)?.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Postgres {
    /// Starts the cluster in this folder, which is made with a cluster in it if there is none, and waits until it
    /// answers queries. What an earlier one of the same folder left running is stopped first.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start; with the last lines of its log.
    pub fn start(dir: &Path, options: Options) -> Result<Postgres> {
        let bin = find().with_context(|| format!("PostgreSQL {OLDEST} or later is not installed"))?;
        let dir = super::folder(dir)?;
        let mut postgres = Postgres {
            port: options.port.map_or_else(ports::free, Ok)?,
            password: super::password(&dir, options.password)?,
            log: options.log.unwrap_or_else(|| dir.join("log")),
            settings: options.settings,
            // It goes to its program's folder and comes back by the whole path, however it is told its own.
            account: Account::for_server(&["postgres"])?.map(Account::passing),
            ledger: Ledger::open(dir.join("pids"))?,
            server: None,
            bin,
            dir,
        };
        postgres.make_cluster()?;
        postgres.run()?;
        postgres.make_database()?;
        Ok(postgres)
    }

    /// The URL of the database `talkback`, for its superuser, with the password.
    pub fn url(&self) -> String {
        self.url_of(NAME)
    }

    /// The URL of another database of the cluster.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgresql://{NAME}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the postmaster; `None` if it does not run.
    pub fn pid(&mut self) -> Option<i32> {
        let server = self.server.as_mut()?;
        server.ended().is_none().then(|| server.pid())
    }

    /// How it ended, if it has ended by itself.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.server.as_mut()?.ended()
    }

    /// Stops it in order, without waiting for clients to leave.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop(Duration::from_secs(6));
        }
    }

    /// Kills it with all its processes, as if the power went.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// Freezes it with all its processes: connections stay open, and nothing answers.
    pub fn freeze(&mut self) {
        if let Some(server) = &mut self.server {
            server.signal_all(Signal::SIGSTOP);
        }
    }

    /// Ends a freeze.
    pub fn thaw(&mut self) {
        if let Some(server) = &mut self.server {
            server.signal_all(Signal::SIGCONT);
        }
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill), on the same port.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_again(&mut self) -> Result<()> {
        self.kill();
        self.run()
    }

    fn make_cluster(&self) -> Result<()> {
        let cluster = self.dir.join("cluster");
        if cluster.exists() {
            return Ok(());
        }
        // It gets its name when it is whole: an initdb that was killed leaves half a cluster.
        let making = self.dir.join("cluster-in-the-making");
        drop(fs::remove_dir_all(&making));
        fs::create_dir(&making).with_context(|| format!("cannot make the folder {}", making.display()))?;
        accounts::give(&making, self.account.as_ref())?;
        let password = self.dir.join("password-for-initdb");
        secrets::write_private(&password, &self.password)?;
        accounts::give(&password, self.account.as_ref())?;
        let made = programs::output(
            self.command("initdb", &making)?
                .args(["--username", NAME, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"])
                .arg("--pwfile")
                .arg(&password),
        );
        drop(fs::remove_file(&password));
        made?;
        fs::rename(&making, &cluster).with_context(|| format!("cannot make the folder {}", cluster.display()))
    }

    fn run(&mut self) -> Result<()> {
        let mut command = self.command("postgres", &self.dir.join("cluster"))?;
        let port = self.port.to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            // The path of a socket may have 107 bytes at most: deep checkouts have longer ones.
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
            ("log_line_prefix", "%m [%p] %d "),
            // What a promise rests on is said here, whatever the default of a packager.
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
        ];
        for (name, value) in ours {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdout(children::log_file(&self.log)?).stderr(children::log_file(&self.log)?);
        let mut server = Child::start("postgres", command, Signal::SIGINT, &self.ledger)?;
        let ask = || {
            // First whether anyone listens: that costs less than a psql.
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            match self.psql("postgres", "select 1") {
                Err(error) if error.to_string().contains("password authentication failed") => Ok(Err(error)),
                other => other.map(Ok),
            }
        };
        let mut answer = Ok(String::new());
        super::wait_until(&mut server, &self.log, Duration::from_secs(60), || {
            answer = ask()?;
            Ok(())
        })?;
        if answer.is_err() {
            bail!("the data in {} was made with another password", self.dir.display());
        }
        self.server = Some(server);
        Ok(())
    }

    fn make_database(&self) -> Result<()> {
        let there = self.psql("postgres", &format!("select 1 from pg_database where datname = '{NAME}'"))?;
        if there.trim().is_empty() {
            self.psql("postgres", &format!("create database {NAME}"))?;
        }
        Ok(())
    }

    /// Runs one statement by psql.
    ///
    /// # Errors
    /// What psql said.
    pub fn psql(&self, database: &str, statement: &str) -> Result<String> {
        let mut command = Command::new(self.bin.join("psql"));
        clean(&mut command);
        programs::output(
            command
                .env("PGPASSWORD", &self.password)
                .env("PGCONNECT_TIMEOUT", "5")
                .args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-U", NAME])
                .args(["-p", &self.port.to_string(), "-d", database, "-c", statement]),
        )
    }

    /// A command about the cluster, in whose folder it runs.
    fn command(&self, program: &str, cluster: &Path) -> Result<Command> {
        let mut command = accounts::command(&self.bin.join(program), self.account.as_ref(), cluster, "INT")?;
        clean(&mut command);
        command.arg("-D").arg(cluster);
        Ok(command)
    }
}

/// Takes away what the caller's environment says about another Postgres.
fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    // psql's words are compared: in English.
    command.env("LC_ALL", "C.UTF-8");
}
