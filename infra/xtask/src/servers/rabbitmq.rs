//! A private RabbitMQ node, with the port mapper (epmd) that Erlang needs.

use std::{
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::amqp_login;
use crate::{
    accounts::{self, Account},
    checkout,
    children::{self, Child},
    http,
    pids::Ledger,
    ports, programs, secrets,
};

const USER: &str = "talkback";
const VHOST: &str = "/";

/// How a node is to be.
#[derive(Default)]
pub struct Options {
    /// The AMQP port; a free one if not given.
    pub port: Option<u16>,
    /// The user's password; one that is made and kept in the folder if not given.
    pub password: Option<String>,
    /// The log file; `log` in the folder if not given.
    pub log: Option<PathBuf>,
    /// Whether the management plugin runs, and with it the HTTP API.
    pub management: bool,
}

/// A node that runs. It is stopped when this is dropped.
pub struct RabbitMq {
    dir: PathBuf,
    script: PathBuf,
    epmd: PathBuf,
    port: u16,
    epmd_port: u16,
    distribution_port: u16,
    management_port: Option<u16>,
    password: String,
    log: PathBuf,
    account: Option<Account>,
    ledger: Ledger,
    mapper: Option<Child>,
    server: Option<Child>,
}

/// The server's own start script, and epmd. Debian's `/usr/sbin/rabbitmq-server` is not it: that one changes to the
/// account `rabbitmq` and to the system's folders, whatever it is told.
pub fn find() -> Option<(PathBuf, PathBuf)> {
    let script = [PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server")]
        .into_iter()
        .find(|script| programs::is_executable(script))
        .or_else(|| programs::find("rabbitmq-server"))?;
    Some((script, programs::find("epmd")?))
}

impl RabbitMq {
    /// Starts the node in this folder, which is made if it is not there, and waits until it takes a login. What an
    /// earlier one of the same folder left running is stopped first.
    ///
    /// # Errors
    /// If RabbitMQ is not installed or does not start; with the last lines of its log.
    pub fn start(dir: &Path, options: Options) -> Result<RabbitMq> {
        let (script, epmd) = find().context("RabbitMQ is not installed")?;
        let dir = super::folder(dir)?;
        let [port, epmd_port, distribution_port, management_port] = ports::several()?;
        let mut node = RabbitMq {
            port: options.port.unwrap_or(port),
            epmd_port,
            distribution_port,
            management_port: options.management.then_some(management_port),
            password: super::password(&dir, options.password)?,
            log: options.log.unwrap_or_else(|| dir.join("log")),
            account: Account::for_server(&["rabbitmq"])?,
            ledger: Ledger::open(dir.join("pids"))?,
            mapper: None,
            server: None,
            script,
            epmd,
            dir,
        };
        node.configure()?;
        node.run()?;
        Ok(node)
    }

    /// The AMQP URL of the virtual host `/`, with the password.
    pub fn url(&self) -> String {
        self.url_of("%2F")
    }

    /// The AMQP URL of another virtual host, whose name is given percent-encoded.
    pub fn url_of(&self, vhost: &str) -> String {
        format!("amqp://{USER}:{}@127.0.0.1:{}/{vhost}", self.password, self.port)
    }

    /// The URL of the management API with the credentials (`http://user:password@127.0.0.1:port/api`), if it runs.
    pub fn api_url(&self) -> Option<String> {
        self.management_port.map(|port| format!("http://{USER}:{}@127.0.0.1:{port}/api", self.password))
    }

    /// The AMQP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the node; `None` if it does not run.
    pub fn pid(&mut self) -> Option<i32> {
        let server = self.server.as_mut()?;
        server.ended().is_none().then(|| server.pid())
    }

    /// How it, or its port mapper, ended, if that has ended by itself.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        [&mut self.server, &mut self.mapper].into_iter().flatten().find_map(Child::ended)
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop(Duration::from_secs(6));
        }
        if let Some(mut mapper) = self.mapper.take() {
            mapper.kill();
        }
    }

    /// Kills it, as if the power went.
    pub fn kill(&mut self) {
        for child in [&mut self.server, &mut self.mapper] {
            if let Some(mut child) = child.take() {
                child.kill();
            }
        }
    }

    /// Freezes it: connections stay open, and nothing answers.
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

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill), on the same ports.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_again(&mut self) -> Result<()> {
        self.kill();
        self.run()
    }

    /// Writes the node's files. They are written anew at each start, for ports change.
    fn configure(&self) -> Result<()> {
        for folder in ["node", "home", "config"] {
            let folder = self.dir.join(folder);
            checkout::make(&folder)?;
            accounts::give(&folder, self.account.as_ref())?;
        }
        let mut conf = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             # Imported at each start: the user has today's password, and a node without data gets no `guest`.\n\
             load_definitions = {}\n\
             # A small disk is no reason to block publishers on a workstation.\n\
             disk_free_limit.absolute = 50MB\n\
             log.console = true\nlog.console.level = info\nlog.file = false\n",
            self.port,
            self.as_seen("definitions.json").display(),
        );
        if let Some(port) = self.management_port {
            conf += &format!("management.tcp.port = {port}\nmanagement.tcp.ip = 127.0.0.1\n");
        }
        self.write("rabbitmq.conf", &conf)?;
        self.write("definitions.json", &self.definitions()?)?;
        self.write(
            "enabled_plugins",
            if self.management_port.is_some() { "[rabbitmq_management].\n" } else { "[].\n" },
        )?;
        let cookie = self.dir.join("home/.erlang.cookie");
        if !cookie.exists() {
            secrets::write_private(&cookie, &secrets::password()?)?;
            accounts::give(&cookie, self.account.as_ref())?;
        }
        Ok(())
    }

    /// How the node, which runs in its folder, finds a file of it. The folders above may be closed to its account (a
    /// capability to pass would not do: RabbitMQ asks access(2), which knows of none), may have spaces in their names,
    /// which its scripts do not expect, and may be moved, while the node remembers paths.
    fn as_seen(&self, name: &str) -> PathBuf {
        let here = Path::new("/proc/self/cwd");
        if here.exists() { here.join(name) } else { self.dir.join(name) }
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.dir.join(name);
        secrets::write_private(&file, text)?;
        accounts::give(&file, self.account.as_ref())
    }

    fn definitions(&self) -> Result<String> {
        let definitions = serde_json::json!({
            "vhosts": [{"name": VHOST}],
            "users": [{
                "name": USER,
                "password_hash": password_hash(&self.password, secrets::random()?),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "administrator",
            }],
            "permissions": [{"user": USER, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"}],
        });
        Ok(definitions.to_string())
    }

    fn run(&mut self) -> Result<()> {
        let deadline = Duration::from_secs(90);
        let mut mapper = Child::start("epmd", self.mapper_command()?, Signal::SIGTERM, &self.ledger)?;
        super::wait_until(&mut mapper, &self.log, deadline, || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, self.epmd_port)).map(drop)?)
        })?;
        self.mapper = Some(mapper);
        let mut server = Child::start("rabbitmq", self.server_command()?, Signal::SIGTERM, &self.ledger)?;
        super::wait_until(&mut server, &self.log, deadline, || {
            amqp_login::try_login(self.port, USER, &self.password, VHOST)?;
            if let Some(port) = self.management_port {
                // Without credentials: 401 comes from an API that is there.
                http::get(&format!("http://127.0.0.1:{port}/api/overview"), Duration::from_secs(5))?;
            }
            Ok(())
        })?;
        self.server = Some(server);
        Ok(())
    }

    fn mapper_command(&self) -> Result<Command> {
        let mut command = accounts::command(&self.epmd, self.account.as_ref(), &self.dir, "KILL")?;
        command
            .args(["-port", &self.epmd_port.to_string(), "-address", "127.0.0.1"])
            .stdout(children::log_file(&self.log)?)
            .stderr(children::log_file(&self.log)?);
        Ok(command)
    }

    fn server_command(&self) -> Result<Command> {
        let mut command = accounts::command(&self.script, self.account.as_ref(), &self.dir, "TERM")?;
        for (name, _) in std::env::vars_os() {
            if ["RABBITMQ_", "ERL_", "ERLANG_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        let path = |name: &str| self.as_seen(name);
        command
            .env("HOME", path("home"))
            .env("LC_ALL", "C.UTF-8")
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // The name is part of the data's path: a host's name may change, this one does not.
            .env("RABBITMQ_NODENAME", "talkback@localhost")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", path("no-rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_CONFIG_FILES", path("no-conf.d"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("no-advanced.config"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", path("config"))
            .env("RABBITMQ_SCHEMA_DIR", path("config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", path("node"))
            .env("RABBITMQ_LOG_BASE", path("node"))
            .env("RABBITMQ_PID_FILE", path("node/pid"))
            .env("RABBITMQ_LOGS", "-")
            // With input allowed the script becomes the node, instead of staying beside it as a shell: then our
            // child *is* the broker, which we can signal, and which dies when we do.
            .env("RABBITMQ_ALLOW_INPUT", "true")
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput +B i")
            // Distribution and the port mapper stay on this machine, and no other mapper is started.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}")
            .stdout(children::log_file(&self.log)?)
            .stderr(children::log_file(&self.log)?);
        Ok(command)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // The node first: without its mapper it would complain.
        self.stop();
    }
}

/// As RabbitMQ stores a password: base64 of a salt of four bytes and of SHA-256 over the salt and the password.
fn password_hash(password: &str, salt: [u8; 4]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let digest = ring::digest::digest(&ring::digest::SHA256, &[&salt, password.as_bytes()].concat());
    STANDARD.encode([&salt, digest.as_ref()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_the_broker_documents_it() {
        // The worked example of RabbitMQ's page "Credentials and Passwords".
        assert_eq!(
            password_hash("test12", [0x90, 0x8D, 0xC6, 0x0A]),
            "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
        );
    }
}
