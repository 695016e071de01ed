//! What is done to a relay's database by hand, with the settings that its functions have. `cargo xtask replay`,
//! `import`, `erase`, `export` and `doctor` run it.
pub mod doctor;
mod export;

use anyhow::{Context as _, Result, bail};
use talkback::command::words::count;
use talkback::relay::Relay;
use talkback::store::look_up::Found;

pub use export::export;

/// Does what the words ask for, but for [`export`], and says what it did.
///
/// # Errors
/// The words are wrong, nothing or several messages are meant, or the database is unavailable.
pub async fn run(relay: &Relay, words: &[&str]) -> Result<String> {
    match words {
        ["replay", "--failed"] => replay_failed(relay).await,
        ["replay", uid] if !uid.starts_with('-') => replay(relay, uid).await,
        ["resume", room] => resume(relay, room).await,
        ["import", file] => import(relay, file).await,
        ["erase", number] if !number.starts_with('-') => erase(relay, number).await,
        _ => {
            bail!(
                "replay UID, replay --failed, resume ROOM, import FILE, erase NUMBER, or export --from TIME --to TIME [--reveal]"
            )
        }
    }
}

/// Sends a message again, in those of its rooms where it was not posted.
async fn replay(relay: &Relay, uid: &str) -> Result<String> {
    let found = relay.store.find(uid, None).await?;
    let found: Vec<&Found> = match found.iter().filter(|found| found.uid == uid || found.given_uid == uid).collect() {
        full if Vec::is_empty(&full) => found.iter().collect(),
        full => full,
    };
    match found.as_slice() {
        [] => bail!("no message has the uid {uid}"),
        [message] => match relay.store.replay(&message.uid).await? {
            0 => bail!(
                "{}: nothing of it failed, expired, was withdrawn or is unconfirmed, or its sender is banned or erased",
                message.uid
            ),
            deliveries => Ok(format!("{}: queued again for {deliveries} of its rooms", message.uid)),
        },
        several => {
            let uids: Vec<&str> = several.iter().map(|message| message.uid.as_str()).collect();
            bail!("{uid} may be any of these; give the whole uid: {}", uids.join(", "))
        }
    }
}

/// Sends everything again that failed, in its old order. What expired or was withdrawn is not meant: it had its time.
async fn replay_failed(relay: &Relay) -> Result<String> {
    let uids = relay.store.failed().await?;
    let (messages, mut deliveries) = (uids.len(), 0);
    for uid in uids {
        deliveries += relay.store.replay(&uid).await?;
    }
    Ok(format!("{messages} messages are queued again, for {deliveries} rooms in all"))
}

/// Opens a room that was paused or suspended.
async fn resume(relay: &Relay, room: &str) -> Result<String> {
    if relay.room(room).is_none() {
        bail!("there is no room {room}; there are: {}", relay.room_names().join(", "));
    }
    match relay.store.resume(room).await? {
        true => Ok(format!("{room} is open again")),
        false => Ok(format!("{room} was open")),
    }
}

/// Records what a log tells of posts that were recorded nowhere else.
async fn import(relay: &Relay, file: &str) -> Result<String> {
    let log = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
    let imported = relay.import(&String::from_utf8_lossy(&log)).await?;
    if imported.unread > 0 {
        bail!(
            "{} records are in the database now; {} could not be opened: does TALKBACK_DATA_KEYS hold the key of then?",
            imported.records,
            imported.unread
        );
    }
    Ok(format!("{} records are in the database now", imported.records))
}

/// Erases whom a number is of. A number that nobody knows is an error: mistyped, it must not look like one that was
/// erased. One that was erased before is none: what is left, perhaps nothing, is done. The number is never repeated.
async fn erase(relay: &Relay, number: &str) -> Result<String> {
    let erased = relay.erase(number).await?;
    if erased.messages == 0 && erased.bans == 0 {
        bail!("no message and no ban is of that number: it must be written as its source has it, as +1 and ten digits");
    }
    let (cleared, bans) = (erased.cleared, erased.cleared_bans);
    let done = format!(
        "cleared: {}, {}, {}, {}, {}, {}; withdrawn: {}",
        count(cleared.messages, "message"),
        count(cleared.parts, "part"),
        count(cleared.calls, "call"),
        count(cleared.lines, "line"),
        count(cleared.pictures, "picture"),
        count(bans, "ban"),
        erased.withdrawn
    );
    if cleared.busy > 0 {
        bail!("{done}; left, for it is being posted: {}: erase again in some minutes", count(cleared.busy, "message"));
    }
    Ok(done)
}
