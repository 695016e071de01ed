//! The configuration's rooms, copied to where the statements can see them; which functions ran when.
use jiff::Timestamp;

use super::Statement;
use super::connection::{Store, StoreError};
use crate::config::{Room, Unknown};

/// A room as its row has it.
pub struct RoomRow<'a> {
    /// The configured room.
    pub room: &'a Room,
    /// Keyed hash of address, group and token.
    pub fingerprint: Vec<u8>,
    /// A member's token is set.
    pub readable: bool,
}

/// A changed fingerprint opens a suspended or paused room: the configuration was mended. Rows are written in order of name, and
/// only where something differs.
const SYNC: &str = "
with input as (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::float8[], $6::int[], $7::bool[], $8::bool[],
                       $9::text[]) as i(name, channel, group_id, fingerprint, pace, burst, confirm, readable, on_unknown)),
lane as (
  insert into lanes (room) select name from input order by name on conflict do nothing)
insert into rooms as r (name, channel, group_id, fingerprint, pace, burst, confirm, readable, on_unknown)
select name, channel, group_id, fingerprint, make_interval(secs => pace), burst, confirm, readable, on_unknown
from input order by name
on conflict (name) do update set
  channel = excluded.channel, group_id = excluded.group_id, pace = excluded.pace, burst = excluded.burst,
  confirm = excluded.confirm, readable = excluded.readable, on_unknown = excluded.on_unknown,
  fingerprint = excluded.fingerprint,
  state = case when r.state <> 'open' and r.fingerprint <> excluded.fingerprint then 'open' else r.state end,
  state_since = case when r.state <> 'open' and r.fingerprint <> excluded.fingerprint then clock_timestamp()
                     else r.state_since end,
  state_reason = case when r.state <> 'open' and r.fingerprint <> excluded.fingerprint then null
                      else r.state_reason end
where (r.channel, r.group_id, r.pace, r.burst, r.confirm, r.readable, r.on_unknown, r.fingerprint)
   is distinct from (excluded.channel, excluded.group_id, excluded.pace, excluded.burst, excluded.confirm,
                     excluded.readable, excluded.on_unknown, excluded.fingerprint)";

/// Its bot is gone: what was posted now would be refused. Not for a line that was heard before somebody opened the room:
/// it may come again.
const PAUSE_GROUP: &str = "
update rooms r set state = 'paused', state_reason = $2, state_since = clock_timestamp()
from groupme_callbacks l
where r.group_id = $1 and r.state = 'open' and l.group_id = $1 and l.line_id = $3 and l.received_at > r.state_since
returning r.name";

const RESUME: &str = "
update rooms set state = 'open', state_reason = null, state_since = clock_timestamp()
where name = $1 and state <> 'open' returning name";

const SEEN: &str = "
insert into functions_seen as f (function) values ($1)
on conflict (function) do update set last_ran_at = clock_timestamp()
where f.last_ran_at < clock_timestamp() - interval '1 s'";

const SEEN_WITHIN: &str = "
select exists (select 1 from functions_seen
               where function = $1 and last_ran_at > clock_timestamp() - make_interval(secs => $2))";

const SUSPENDED: &str =
    "select name, state_since from rooms where state = 'suspended' and name = any($1) order by name";

pub(super) const STATEMENTS: &[Statement] = &[
    ("sync_rooms", SYNC),
    ("pause_group", PAUSE_GROUP),
    ("resume", RESUME),
    ("seen", SEEN),
    ("seen_within", SEEN_WITHIN),
    ("suspended", SUSPENDED),
];

fn on_unknown(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::Resend => "resend",
        Unknown::GiveUp => "give_up",
    }
}

impl Store {
    /// Copies the configured rooms into the database.
    pub async fn sync_rooms(&self, rooms: &[RoomRow<'_>]) -> Result<(), StoreError> {
        let names: Vec<&str> = rooms.iter().map(|r| r.room.name.as_str()).collect();
        let channels: Vec<&str> = rooms.iter().map(|r| r.room.channel.as_str()).collect();
        let groups: Vec<&str> = rooms.iter().map(|r| r.room.group.as_str()).collect();
        let fingerprints: Vec<&[u8]> = rooms.iter().map(|r| r.fingerprint.as_slice()).collect();
        let paces: Vec<f64> = rooms.iter().map(|r| r.room.pace.as_secs_f64()).collect();
        let bursts: Vec<i32> = rooms.iter().map(|r| i32::try_from(r.room.burst).unwrap_or(i32::MAX)).collect();
        let confirms: Vec<bool> = rooms.iter().map(|r| r.room.confirm).collect();
        let readables: Vec<bool> = rooms.iter().map(|r| r.readable).collect();
        let unknowns: Vec<&str> = rooms.iter().map(|r| on_unknown(r.room.unknown)).collect();
        self.rows(SYNC, &[&names, &channels, &groups, &fingerprints, &paces, &bursts, &confirms, &readables, &unknowns])
            .await
            .map(drop)
    }

    /// Pauses the rooms of a group because of a line that was heard there: their names.
    pub async fn pause_group(&self, group: &str, reason: &str, line: &str) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(PAUSE_GROUP, &[&group, &reason, &line]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Opens a suspended or paused room again.
    pub async fn resume(&self, room: &str) -> Result<bool, StoreError> {
        let rows = self.rows(RESUME, &[&room]).await?;
        Ok(!rows.is_empty())
    }

    /// Which of these rooms are suspended, and since when.
    pub async fn suspended(&self, rooms: &[String]) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows = self.rows(SUSPENDED, &[&rooms]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Notes that a function ran.
    pub async fn seen(&self, function: &str) -> Result<(), StoreError> {
        self.rows(SEEN, &[&function]).await.map(drop)
    }

    /// Whether a function began to run within that time.
    pub async fn seen_within(&self, function: &str, time: std::time::Duration) -> Result<bool, StoreError> {
        let rows = self.rows(SEEN_WITHIN, &[&function, &time.as_secs_f64()]).await?;
        rows.first().ok_or(StoreError::Answer("a row"))?.try_get(0).map_err(Into::into)
    }
}
