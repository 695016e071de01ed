//! cargo-lambda's emulator of Lambda, without functions: those are started beside it, as `cargo xtask up` does.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::net::TcpStream;
use xtask::children::{Child, log_file};
use xtask::pids::Ledger;
use xtask::{accounts, checkout, ports};

use super::works::eventually;
use crate::station::required;

/// Starts a program with a log of its own; it dies with us, and by nothing but SIGKILL.
pub fn start(name: &str, command: Command, folder: &Path, ledger: &Ledger) -> Child {
    start_with(Signal::SIGKILL, name, command, folder, ledger)
}

/// The same for a program that is ended by another signal.
pub fn start_with(end: Signal, name: &str, mut command: Command, folder: &Path, ledger: &Ledger) -> Child {
    let log = folder.join(format!("{name}.log"));
    command.stdout(log_file(&log).unwrap()).stderr(log_file(&log).unwrap()).stdin(Stdio::null());
    Child::start(name, command, end, ledger).unwrap()
}

/// A program, told to die when the story's program does.
pub fn program(path: &Path) -> Command {
    accounts::command(path, None, &checkout::root(), "KILL").unwrap()
}

/// A folder for the logs of one story, emptied of those of the last time; in a round of `cargo xtask chaos`, beside its
/// report: other rounds of the same attack may run meanwhile.
pub fn folder(story: &str) -> PathBuf {
    let report = std::env::var_os("TALKBACK_CHAOS_REPORT").map(PathBuf::from);
    let stories = report.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let folder = stories.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("stories")).join(story);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A client for our own servers.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().tls_backend_preconfigured(talkback::tls::web_client()).no_proxy().build().unwrap()
}

pub struct Emulator {
    pub port: u16,
    _child: Child,
    client: reqwest::Client,
}

impl Emulator {
    pub async fn start(folder: &Path, ledger: &Arc<Ledger>) -> Self {
        let port = ports::free().unwrap();
        let mut command = program(Path::new(&required("TALKBACK_TEST_CARGO_LAMBDA")));
        command.args(["lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1", "-P", &port.to_string()]);
        // Longer than any story: it would answer a function that waits for its next event by 408, and end it so.
        command.args(["--timeout", "600"]);
        let child = start("cargo-lambda", command, folder, ledger);
        eventually("the emulator", async || TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)).await;
        Self { port, _child: child, client: client() }
    }

    /// Where HTTP functions are reached.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn invoker(&self) -> Invoker {
        Invoker { base: self.url(), client: self.client.clone() }
    }
}

/// Invokes functions over Lambda's own interface.
#[derive(Clone)]
pub struct Invoker {
    base: String,
    client: reqwest::Client,
}

impl Invoker {
    /// The answer's status and document; `None` where there was none in time.
    pub async fn invoke(&self, function: &str, event: &Value, limit: Duration) -> Option<(u16, Value)> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.base);
        let answer = self.client.post(url).timeout(limit).json(event).send().await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}
