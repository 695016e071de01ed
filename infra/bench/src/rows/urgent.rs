//! How long an urgent message takes from its producer to the chat while something is down.
use anyhow::Result;

use crate::bench::Bench;
use crate::figure::{Figure, Target};

/// What is down, in the words of the rows.
const DOWN: [&str; 3] = ["Postgres frozen", "broker killed", "relay stopped"];

/// The rows.
pub(crate) async fn rows(_bench: &Bench) -> Result<Vec<Figure>> {
    let figure = |down: &str| format!("urgent, publish to seen, p99, {down}");
    Ok(DOWN.map(|down| Figure::missing(&figure(down), "s", Target::AtMost(5.0))).into())
}
