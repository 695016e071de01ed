//! What people in the chat ask of the database: who somebody is, what is stuck; and what they take back.
use jiff::Timestamp;

use super::Statement;
use super::commands::Turn;
use super::connection::StoreError;

/// The first and the last message of a sender, and how many.
const SEEN: &str = "
select count(*), min(accepted_at), max(accepted_at) from messages where sender_hash = $1";

/// What did not reach its room, the latest first, room by room as the indexes have it; one more than asked for tells that
/// there are more. Also what was left to its producer, which told nothing.
const STUCK: &str = "
select m.short_uid, m.source, x.room, x.state, x.cause, m.accepted_at
from (
  select d.* from rooms r cross join lateral (
    (select d.id, d.uid, d.room, d.state, d.cause from deliveries d
     where d.room = r.name and d.state in ('failed', 'unconfirmed') order by d.id desc limit $1::int8 + $2::int8)
    union all
    (select d.id, d.uid, d.room, d.state, d.cause from deliveries d
     where d.room = r.name and d.state = 'expired' order by d.id desc limit $1 + $2)
    union all
    (select d.id, d.uid, d.room, d.state, d.cause || ', and told nothing' from deliveries d
     where d.room = r.name and d.state = 'withdrawn' and d.alarm is not null and d.told
     order by d.id desc limit $1 + $2)) d
  order by d.id desc limit $1 offset $2) x
join messages m using (uid) order by x.id desc";

/// Also what is being sent: the rest of it is not. A part in the air is judged when its time is over. Locks lanes never,
/// deliveries in the order of their keys.
const CANCEL: &str = "
with x as (
  select id from deliveries where uid = $1 and state in ('queued', 'sending', 'scheduled', 'held')
  order by id for no key update)
update deliveries d set state = 'withdrawn', cause = 'withdrawn by hand', deliver_by = null
from x where d.id = x.id returning d.id, d.sent + d.unsure > 0 as begun";

/// Asked behind the lock of these deliveries, by a statement of its own: it sees what was claimed just before.
const IN_THE_AIR: &str = "
select exists (select 1 from parts where delivery = any($1::bigint[]) and state = 'posting')";

pub(super) const STATEMENTS: &[Statement] =
    &[("sender_seen", SEEN), ("stuck", STUCK), ("cancel", CANCEL), ("in_the_air", IN_THE_AIR)];

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
    /// failed, expired or unconfirmed; withdrawn, where its producer was to post it and told nothing.
    pub state: String,
    /// Why.
    pub cause: String,
    /// When its message was accepted.
    pub accepted_at: Timestamp,
}

/// What was withdrawn of a message.
pub struct Cancelled {
    /// How many deliveries.
    pub deliveries: usize,
    /// Some of it is in a room already.
    pub begun: bool,
    /// A part of it is being posted at this moment.
    pub in_the_air: bool,
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

    /// Withdraws what of a message is not posted.
    pub async fn cancel(&self, uid: &str) -> Result<Cancelled, StoreError> {
        let (mut deliveries, mut begun) = (Vec::new(), false);
        for row in self.rows(CANCEL, &[&uid]).await? {
            deliveries.push(row.try_get("id")?);
            begun |= row.try_get::<_, bool>("begun")?;
        }
        Ok(Cancelled { in_the_air: self.in_the_air(&deliveries).await?, deliveries: deliveries.len(), begun })
    }

    /// Whether a part of one of these, which this turn has locked, is being posted.
    pub(super) async fn in_the_air(&self, deliveries: &[i64]) -> Result<bool, StoreError> {
        if deliveries.is_empty() {
            return Ok(false);
        }
        let rows = self.rows(IN_THE_AIR, &[&deliveries]).await?;
        Ok(rows.first().map_or(Ok(false), |row| row.try_get(0))?)
    }
}
