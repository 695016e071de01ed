//! `!failed`: what did not reach its room.
use super::words::{moment, page};
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!failed [page]`
pub const COMMAND: Command = Command {
    name: "failed",
    usage: "!failed [page]",
    purpose: "what failed, expired, is unconfirmed or was left to its producer, and why",
    grade: Grade::Look,
    publishes: false,
    run,
};

const A_PAGE: i64 = 6;

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let Some(page) = page(asked.words) else { return Ok(Said::usage(&COMMAND)) };
    let (stuck, more) = asked.turn.stuck(A_PAGE, (page - 1) * A_PAGE).await?;
    if stuck.is_empty() {
        return Ok(Said::none(if page == 1 { "Nothing failed, expired or is unconfirmed." } else { "That is all." }));
    }
    let zone = &asked.relay.settings.zone;
    let mut lines: Vec<String> = stuck
        .iter()
        .map(|d| {
            let when = moment(d.accepted_at, zone);
            format!("{} {} from {}, {when}, in {}: {}", d.short_uid, d.state, d.source, d.room, d.cause)
        })
        .collect();
    if more {
        lines.push(format!("(more: !failed {})", page + 1));
    }
    Ok(Said::done(lines.join("\n")))
}
