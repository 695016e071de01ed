//! `!replay`: what did not reach its room is sent again, as new in order.
use std::collections::BTreeSet;

use super::ban::meant;
use super::words::count;
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!replay <uid>|failed`
pub const COMMAND: Command = Command {
    name: "replay",
    usage: "!replay <uid>|failed",
    purpose: "sends again what failed, expired, was withdrawn or is unconfirmed; `failed`: everything that failed",
    grade: Grade::Act,
    publishes: false,
    run,
};

/// So many at once; the next command goes on.
const AT_ONCE: usize = 500;

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let author = &asked.author.name;
    match asked.words {
        [word] if word.eq_ignore_ascii_case("failed") => {
            let uids = asked.turn.failed().await?;
            asked.turn.lock_senders(&uids).await?;
            // Not all of them can be: somebody may be banned.
            let (mut messages, mut rest) = (0, uids.as_slice());
            while messages < AT_ONCE && !rest.is_empty() {
                let (some, later) = rest.split_at(rest.len().min(AT_ONCE - messages));
                messages += asked.turn.replay(some).await?.into_iter().collect::<BTreeSet<_>>().len();
                rest = later;
            }
            let left = rest.len();
            if messages == 0 {
                return Ok(Said::none("Nothing failed that could be sent again."));
            }
            let messages = count(i64::try_from(messages).unwrap_or(i64::MAX), "message");
            let more = if left > 0 { format!(" {left} more failed: repeat it for them.") } else { String::new() };
            Ok(Said::done(format!("{author} sends {messages} again.{more}")))
        }
        [uid] => {
            let (message, note) = match meant(asked, uid).await? {
                Ok(meant) => meant,
                Err(said) => return Ok(said),
            };
            let short = &message.short_uid;
            let uids = [message.uid];
            asked.turn.lock_senders(&uids).await?;
            Ok(match asked.turn.replay(&uids).await?.len() {
                0 => Said::none(format!(
                    "Nothing of {short} failed, expired, was withdrawn or is unconfirmed, or its sender is banned or erased.{note}"
                )),
                _ => Said::done(format!("{author} sends {short} again.{note}")),
            })
        }
        _ => Ok(Said::usage(&COMMAND)),
    }
}
