//! Wires the operator's words to a relay with the settings of the environment.
use std::io::Write as _;

use anyhow::Result;
use talkback::config::Settings;
use talkback::relay::Relay;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    talkback::tls::install_ring();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let relay = Relay::new(Settings::from_env()?, "operator")?;
    let done = operator::run(&relay, &words).await?;
    writeln!(std::io::stdout(), "{done}")?;
    Ok(())
}
