//! The simulator as a process: its configuration is in the JSON file that `GROUPME_SIM_CONFIG` names, because a bot's
//! id is a secret and a command line is not. Says `ready <page>` when it listens; ends on SIGTERM and SIGINT.

use std::io::Write as _;

use anyhow::{Context as _, anyhow};
use groupme_sim::{Sim, SimConfig};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let path = std::env::var_os("GROUPME_SIM_CONFIG").context("GROUPME_SIM_CONFIG must name the configuration file")?;
    let json = std::fs::read(&path).context("the file that GROUPME_SIM_CONFIG names cannot be read")?;
    // serde_json's own words may quote a secret.
    let config: SimConfig = serde_json::from_slice(&json).map_err(|error| {
        anyhow!("the configuration has a fault at line {}, column {}", error.line(), error.column())
    })?;
    drop(json);
    let sim = Sim::start(config).await.context("the simulator cannot listen")?;
    let mut out = std::io::stdout();
    writeln!(out, "ready {}", sim.page_url())?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sim.stop().await;
    Ok(())
}
