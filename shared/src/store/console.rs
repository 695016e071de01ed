//! What people in the chat ask of the database: who somebody is, what is stuck; and what they take back.
use jiff::Timestamp;

use super::Statement;
use super::commands::Turn;
use super::connection::StoreError;

/// The first and the last message of a sender, and how many.
const SEEN: &str = "
select count(*), min(accepted_at), max(accepted_at) from messages where sender_hash = $1";

/// What did not reach its room, the latest first; one more than asked for tells that there are more.
const STUCK: &str = "
select m.short_uid, m.source, d.room, d.state, d.cause, m.accepted_at
from deliveries d join messages m using (uid)
where d.state in ('failed', 'expired', 'unconfirmed') order by d.id desc limit $1 offset $2";

/// Also what is being sent: the rest of it is not. A part in the air is judged when its time is over. Locks lanes never,
/// deliveries in the order of their keys.
const CANCEL: &str = "
with x as (
  select id from deliveries where uid = $1 and state in ('queued', 'sending', 'scheduled', 'held')
  order by id for no key update)
update deliveries d set state = 'withdrawn', cause = 'withdrawn by hand', deliver_by = null
from x where d.id = x.id returning d.sent + d.unsure > 0 as begun";

pub(super) const STATEMENTS: &[Statement] = &[("seen_sender", SEEN), ("stuck", STUCK), ("cancel", CANCEL)];

/// What is known of a sender's messages.
pub struct Seen {
    /// How many.
    pub messages: i64,
    /// When the first came.
    pub first: Option<Timestamp>,
    /// And the last.
    pub last: Option<Timestamp>,
}

/// A delivery that did not reach its room.
pub struct Stuck {
    /// What people call its message.
    pub short_uid: String,
    /// Where that came from.
    pub source: String,
    /// The room.
    pub room: String,
    /// failed, expired or unconfirmed.
    pub state: String,
    /// Why.
    pub cause: String,
    /// When its message was accepted.
    pub accepted_at: Timestamp,
}

impl Turn {
    /// What is known of a sender's messages.
    pub async fn seen(&self, sender_hash: &[u8]) -> Result<Seen, StoreError> {
        let rows = self.rows(SEEN, &[&sender_hash]).await?;
        let row = rows.first().ok_or(StoreError::Answer("a row"))?;
        Ok(Seen { messages: row.try_get(0)?, first: row.try_get(1)?, last: row.try_get(2)? })
    }

    /// What did not reach its room, so many after so many; and whether there are more.
    pub async fn stuck(&self, limit: i64, offset: i64) -> Result<(Vec<Stuck>, bool), StoreError> {
        let rows = self.rows(STUCK, &[&(limit + 1), &offset]).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let stuck = rows.iter().take(limit).map(|row| {
            Ok(Stuck {
                short_uid: row.try_get("short_uid")?,
                source: row.try_get("source")?,
                room: row.try_get("room")?,
                state: row.try_get("state")?,
                cause: row.try_get("cause")?,
                accepted_at: row.try_get("accepted_at")?,
            })
        });
        Ok((stuck.collect::<Result<_, StoreError>>()?, rows.len() > limit))
    }

    /// Withdraws what of a message is not posted: how many deliveries, and whether some of it is in a room already.
    pub async fn cancel(&self, uid: &str) -> Result<(usize, bool), StoreError> {
        let rows = self.rows(CANCEL, &[&uid]).await?;
        let begun = rows.iter().map(|row| row.try_get::<_, bool>(0)).collect::<Result<Vec<_>, _>>()?;
        Ok((rows.len(), begun.contains(&true)))
    }
}
