//! Wires the operator's words to a relay with the settings of the environment.
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use talkback::config::Settings;
use talkback::relay::Relay;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (told, code) = match run().await {
        Ok(done) => (writeln!(std::io::stdout(), "{done}"), ExitCode::SUCCESS),
        Err(error) => (writeln!(std::io::stderr(), "error: {error:#}"), ExitCode::FAILURE),
    };
    // Whoever closed the other end does not want to know.
    drop(told);
    code
}

async fn run() -> Result<String> {
    talkback::tls::install_ring();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let relay = Relay::new(Settings::from_env()?, "operator")?;
    operator::run(&relay, &words).await
}
