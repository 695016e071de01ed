//! `cargo xtask publish KEY BODY`: publishes to the running `up`'s `source_exchange`, as the station's programs do.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::up;

/// How to call it.
pub const USAGE: &str = "cargo xtask publish KEY JSON|FILE";

/// Publishes one message and waits until the broker has confirmed it.
///
/// # Errors
/// If `up` does not run, or the broker does not confirm.
pub fn run(arguments: &[String]) -> Result<()> {
    let [key, body] = arguments else { bail!("{USAGE}") };
    let body = if Path::new(body).is_file() {
        fs::read(body).with_context(|| format!("cannot read {body}"))?
    } else {
        body.clone().into_bytes()
    };
    let record = fs::read_to_string(up::record_file()).context("nothing runs here: start `cargo xtask up` first")?;
    let record: Value = serde_json::from_str(&record).context("up.json is damaged")?;
    let amqp_url = record.get("amqp_url").and_then(Value::as_str).context("up.json names no broker")?;

    // The bridge is the one tool here that speaks AMQP.
    let mut child = Command::new(up::bridge_file())
        .args(["publish", "--exchange", "source_exchange", "--key", key])
        .env("AMQP_URL", amqp_url)
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the bridge")?;
    child.stdin.take().context("the bridge takes no input")?.write_all(&body)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("the message was not published ({status})");
    }
    Ok(())
}
