//! Wires the operator's words to a relay with the settings of the environment.
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use talkback::config::Settings;
use talkback::relay::Relay;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (told, code) = match run().await {
        Ok(Done::Did(done)) => (writeln!(std::io::stdout(), "{done}"), ExitCode::SUCCESS),
        Ok(Done::Wrote(None)) => (Ok(()), ExitCode::SUCCESS),
        Ok(Done::Wrote(Some(note))) => (writeln!(std::io::stderr(), "{note}"), ExitCode::SUCCESS),
        Err(error) => (writeln!(std::io::stderr(), "error: {error:#}"), ExitCode::FAILURE),
    };
    // Whoever closed the other end does not want to know.
    drop(told);
    code
}

/// What there is to say at the end.
enum Done {
    /// What was done.
    Did(String),
    /// What was asked for is written; something beside it, perhaps.
    Wrote(Option<String>),
}

async fn run() -> Result<Done> {
    talkback::tls::install_ring();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some((&"doctor", words)) = words.split_first() {
        let report = operator::doctor::run(words).await?;
        return if report.is_well() { Ok(Done::Did(report.to_string())) } else { bail!("{report}") };
    }
    let relay = Relay::new(Settings::from_env()?, "operator")?;
    match words.split_first() {
        Some((&"export", words)) => Ok(Done::Wrote(operator::export(&relay, words, std::io::stdout().lock()).await?)),
        _ => Ok(Done::Did(operator::run(&relay, &words).await?)),
    }
}
