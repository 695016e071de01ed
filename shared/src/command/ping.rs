//! `!ping`: whether the relay is listening.
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!ping`
pub const COMMAND: Command = Command {
    name: "ping",
    usage: "!ping",
    purpose: "whether I am listening",
    grade: Grade::Look,
    publishes: false,
    run,
};

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(_: &Asked<'_>) -> Result<Said, StoreError> {
    Ok(Said::done("pong"))
}
