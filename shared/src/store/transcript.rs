//! What was said to the rooms and in them, page by page in order of time: however much it is, a page is held at once,
//! and no transaction is open while somebody reads it.
use jiff::Timestamp;
use tokio_postgres::Row;

use super::Statement;
use super::connection::{Store, StoreError};

/// Messages with the rooms they are for, `$3` being the end. What is sealed comes with `$4` only.
const MESSAGES: &str = "
select m.uid, m.source, m.verdict, m.accepted_at, m.sender_sealed, m.body,
       case when $4::bool and m.body is null then m.body_sealed end as body_sealed, d.room, d.state
from (
  select * from messages
  where accepted_at >= $1 and (accepted_at, uid) > ($1, $2) and accepted_at < $3
  order by accepted_at, uid limit 500) m
left join deliveries d on d.uid = m.uid
order by m.accepted_at, m.uid, d.id";

/// Also those that no member said, without what they say: where bots alone speak, a page must not become a search
/// through months.
const LINES: &str = "
select g.received_at, g.group_id, g.line_id, g.sender_type = 'user' as by_member,
       case when g.sender_type = 'user' then g.payload_sealed end as payload_sealed,
       (select min(r.name) from rooms r where r.group_id = g.group_id) as room
from groupme_callbacks g
where g.received_at >= $1 and (g.received_at, g.group_id, g.line_id) > ($1, $2, $3) and g.received_at < $4
order by g.received_at, g.group_id, g.line_id limit 1000";

pub(super) const STATEMENTS: &[Statement] = &[("transcript_messages", MESSAGES), ("transcript_lines", LINES)];

/// A message, once for each of its rooms, or once without.
pub struct Told {
    /// Identity.
    pub uid: String,
    /// Where it came from.
    pub source: String,
    /// What accept decided.
    pub verdict: String,
    /// When.
    pub at: Timestamp,
    /// Who sent it, sealed.
    pub sender_sealed: Option<Vec<u8>>,
    /// Its text, where everybody may read it.
    pub body: Option<String>,
    /// Its text, sealed; where that was asked for.
    pub body_sealed: Option<Vec<u8>>,
    /// The room, and how its delivery stands.
    pub delivery: Option<(String, String)>,
}

/// A line said in a room.
pub struct Heard {
    /// When it came to us.
    pub at: Timestamp,
    /// The provider's id of its group.
    pub group: String,
    /// The provider's id of the line.
    pub id: String,
    /// A member said it.
    pub by_member: bool,
    /// As it came, sealed; of a member's line only.
    pub payload_sealed: Option<Vec<u8>>,
    /// The room, where it is one of ours.
    pub room: Option<String>,
}

fn told(row: &Row) -> Result<Told, StoreError> {
    let (room, state): (Option<String>, Option<String>) = (row.try_get("room")?, row.try_get("state")?);
    Ok(Told {
        uid: row.try_get("uid")?,
        source: row.try_get("source")?,
        verdict: row.try_get("verdict")?,
        at: row.try_get("accepted_at")?,
        sender_sealed: row.try_get("sender_sealed")?,
        body: row.try_get("body")?,
        body_sealed: row.try_get("body_sealed")?,
        delivery: room.zip(state),
    })
}

impl Store {
    /// The next messages accepted at `behind.0` or later and before `end`, but for those up to `behind.1` of that very
    /// moment; none: there are no more.
    pub async fn told_after(
        &self,
        behind: &(Timestamp, String),
        end: Timestamp,
        sealed_too: bool,
    ) -> Result<Vec<Told>, StoreError> {
        let rows = self.rows(MESSAGES, &[&behind.0, &behind.1, &end, &sealed_too]).await?;
        rows.iter().map(told).collect()
    }

    /// The next lines, likewise; `behind`: when the last one came, its group and its id.
    pub async fn heard_after(
        &self,
        behind: &(Timestamp, String, String),
        end: Timestamp,
    ) -> Result<Vec<Heard>, StoreError> {
        let rows = self.rows(LINES, &[&behind.0, &behind.1, &behind.2, &end]).await?;
        rows.iter()
            .map(|row| {
                Ok(Heard {
                    at: row.try_get("received_at")?,
                    group: row.try_get("group_id")?,
                    id: row.try_get("line_id")?,
                    by_member: row.try_get("by_member")?,
                    payload_sealed: row.try_get("payload_sealed")?,
                    room: row.try_get("room")?,
                })
            })
            .collect()
    }
}
