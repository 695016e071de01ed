//! `!unban`: a ban is lifted.
use super::ban::meant;
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!unban <uid or ban number>`
pub const COMMAND: Command = Command {
    name: "unban",
    usage: "!unban <uid or ban number>",
    purpose: "lifts the ban of the sender of that message, or the ban of that number",
    grade: Grade::Act,
    publishes: false,
    run,
};

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let [word] = asked.words else { return Ok(Said::usage(&COMMAND)) };
    let mut note = String::new();
    // A short uid may be all digits, too: a ban of that number goes first.
    let by_number = match word.trim_start_matches('#').parse::<i64>().ok() {
        Some(number) => asked.turn.ban_of(number).await?,
        None => None,
    };
    let hash = match by_number {
        Some(hash) => hash,
        None => {
            let message = match meant(asked, word).await? {
                Ok((message, told)) => {
                    note = told;
                    message
                }
                Err(said) => return Ok(said),
            };
            let Some((hash, _)) = asked.turn.sender(&message.uid).await? else {
                return Ok(Said::none("That message has no sender, and so none who is banned."));
            };
            hash
        }
    };
    let by = asked.relay.lifted_by(&hash, asked.author);
    Ok(match asked.turn.unban(&hash, &by).await? {
        Some(ban) => {
            let who = asked.relay.banned_address(&ban);
            Said::done(format!("{} lifted ban {} of {who}.{note}", asked.author.name, ban.id))
        }
        None => Said::none(format!("That sender is not banned.{note}")),
    })
}
