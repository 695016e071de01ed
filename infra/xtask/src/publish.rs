//! `cargo xtask publish KEY JSON`: publishes to the broker of what `up` runs, as the station's programs do.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{progress::print, up};

/// How to call it.
pub const USAGE: &str = "cargo xtask publish KEY JSON|FILE [--exchange NAME]";

/// Publishes one message and waits until the broker has confirmed it.
///
/// # Errors
/// If `up` does not run, or the broker does not confirm.
pub fn run(arguments: &[String]) -> Result<()> {
    let (key, body, exchange) = match arguments {
        [key, body] => (key, body, exchange_of(key)),
        [key, body, option, exchange] if option == "--exchange" => (key, body, exchange.as_str()),
        _ => bail!("usage: {USAGE}"),
    };
    let body = if Path::new(body).is_file() {
        fs::read(body).with_context(|| format!("cannot read {body}"))?
    } else {
        body.clone().into_bytes()
    };
    publish(&up::record()?, exchange, key, &[], &body)?;
    print(format!("published to {exchange} as {key}"));
    Ok(())
}

/// The exchange of `infra/talkback.toml` that takes a key: what machines report has its own.
fn exchange_of(key: &str) -> &'static str {
    if key.starts_with("notification.") { "notifications" } else { "source_exchange" }
}

/// Publishes to the broker that the record of `up` names, and waits until it has confirmed.
///
/// # Errors
/// If it does not; the bridge has said why on standard error.
pub(crate) fn publish(
    record: &Value,
    exchange: &str,
    key: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<()> {
    let amqp_url = record.get("amqp_url").and_then(Value::as_str).context("up.json names no broker")?;
    // The bridge is the one tool here that speaks AMQP.
    let mut child = Command::new(up::bridge_file())
        .args(["publish", "--exchange", exchange, "--key", key])
        .args(headers.iter().flat_map(|(name, value)| ["--header".to_owned(), format!("{name}={value}")]))
        .env("AMQP_URL", amqp_url)
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the bridge")?;
    child.stdin.take().context("the bridge takes no input")?.write_all(body)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("the message was not published");
    }
    Ok(())
}
