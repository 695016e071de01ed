//! Which sources are muted: what they send is held, unless it is urgent, until the mute is over.
use jiff::Timestamp;

use super::Statement;
use super::commands::Turn;
use super::connection::{Store, StoreError};

/// Muting again changes only the term.
const MUTE: &str = "
insert into mutes as u (pattern, matches, room, muted_by_sealed, until)
values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5::float8))
on conflict (pattern) where ended_at is null do update set until = excluded.until
returning id, until, xmax <> 0 as again";

/// Its producer is answered, and takes over nothing. What waits already and has not begun, and what an earlier term of the same mute holds. In the order of their keys.
const HOLD: &str = "
with x as (
  select d.id from deliveries d join messages m using (uid)
  where (d.state = 'queued' and not d.begun and d.sent + d.unsure = 0 or d.state = 'held' and d.held_by = $1)
    and d.prio < 2 and m.door in ('http', 'rabbitmq') and (m.source || '.') ~ $2::text
  order by d.id for no key update of d)
update deliveries d set state = 'held', cause = 'its source is muted', held_by = $1, due_at = $3::timestamptz,
  deliver_by = null
from x where d.id = x.id returning d.id";

const UNMUTE: &str = "
update mutes set ended_at = clock_timestamp(), ended_by_sealed = $2, told = true
where pattern = $1 and ended_at is null and (until is null or until > clock_timestamp()) returning id";

/// They enter the queue with the next sweep, in their old order.
const LET_GO: &str = "
with x as (select id from deliveries where held_by = $1 and state = 'held' order by id for no key update)
update deliveries d set due_at = clock_timestamp() from x where d.id = x.id";

/// How many of what were held by a mute, most first.
const HELD: &str = "
select m.source, count(*) from deliveries d join messages m using (uid)
where d.held_by = $1 group by m.source order by 2 desc, 1";

const MUTES: &str = "
select u.pattern, u.until, (select count(*) from deliveries d where d.held_by = u.id and d.state = 'held') as held
from mutes u where u.ended_at is null and (u.until is null or u.until > clock_timestamp()) order by u.id limit 20";

/// Mutes that ended by themselves and whose room has not been told; what they held is in the queue by now.
const OVER: &str = "
select u.id, u.pattern, u.room from mutes u
where u.ended_at is null and u.until <= clock_timestamp() and not u.told
  and not exists (select 1 from deliveries d where d.held_by = u.id and d.state = 'held') order by u.id limit 20";

const OVER_TOLD: &str = "update mutes set told = true, ended_at = until where id = $1 and ended_at is null";

pub(super) const STATEMENTS: &[Statement] = &[
    ("mute", MUTE),
    ("hold", HOLD),
    ("unmute", UNMUTE),
    ("let_go_of_held", LET_GO),
    ("held", HELD),
    ("mutes", MUTES),
    ("mutes_over", OVER),
    ("mute_told", OVER_TOLD),
];

/// A mute to be.
pub struct NewMute<'a> {
    /// The pattern as it was typed.
    pub pattern: &'a str,
    /// The same as a regular expression, for a source with a dot behind it.
    pub matches: &'a str,
    /// Where it was typed.
    pub room: &'a str,
    /// By whom, sealed.
    pub by_sealed: &'a [u8],
    /// For how long, seconds; `None`: until it is ended.
    pub term: Option<f64>,
}

/// What muting did.
pub struct Muted {
    /// Until when.
    pub until: Option<Timestamp>,
    /// It was muted already.
    pub again: bool,
    /// How many deliveries are held now.
    pub held: usize,
}

/// A mute that holds.
pub struct Mute {
    /// Its pattern.
    pub pattern: String,
    /// Until when.
    pub until: Option<Timestamp>,
    /// How many deliveries it holds.
    pub held: i64,
}

/// How many deliveries of each source were held.
pub type Held = Vec<(String, i64)>;

fn held(rows: &[tokio_postgres::Row]) -> Result<Held, StoreError> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

impl Turn {
    /// Mutes sources, and holds what of theirs waits.
    pub async fn mute(&self, new: &NewMute<'_>) -> Result<Muted, StoreError> {
        let rows = self.rows(MUTE, &[&new.pattern, &new.matches, &new.room, &new.by_sealed, &new.term]).await?;
        let row = rows.first().ok_or(StoreError::Answer("a mute"))?;
        let (id, until): (i64, Option<Timestamp>) = (row.try_get("id")?, row.try_get("until")?);
        let held = self.rows(HOLD, &[&id, &new.matches, &until]).await?.len();
        Ok(Muted { until, again: row.try_get("again")?, held })
    }

    /// Ends a mute: how many of what it held; `None` where there is none.
    pub async fn unmute(&self, pattern: &str, by_sealed: &[u8]) -> Result<Option<Held>, StoreError> {
        let rows = self.rows(UNMUTE, &[&pattern, &by_sealed]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let id: i64 = row.try_get(0)?;
        self.rows(LET_GO, &[&id]).await?;
        Ok(Some(held(&self.rows(HELD, &[&id]).await?)?))
    }

    /// Mutes that hold.
    pub async fn mutes(&self) -> Result<Vec<Mute>, StoreError> {
        let mute = |row: &tokio_postgres::Row| {
            Ok(Mute { pattern: row.try_get("pattern")?, until: row.try_get("until")?, held: row.try_get("held")? })
        };
        self.rows(MUTES, &[]).await?.iter().map(mute).collect()
    }
}

/// A mute that ended by itself.
pub struct Over {
    /// Its number.
    pub id: i64,
    /// Its pattern.
    pub pattern: String,
    /// The room that is to be told.
    pub room: String,
    /// How many of what it held.
    pub held: Held,
}

impl Store {
    /// Mutes that ended by themselves, and whose room is to be told.
    pub async fn mutes_over(&self) -> Result<Vec<Over>, StoreError> {
        let mut over = Vec::new();
        for row in self.rows(OVER, &[]).await? {
            let id: i64 = row.try_get("id")?;
            let held = held(&self.rows(HELD, &[&id]).await?)?;
            over.push(Over { id, pattern: row.try_get("pattern")?, room: row.try_get("room")?, held });
        }
        Ok(over)
    }

    /// Notes that the room was told of its end.
    pub async fn mute_told(&self, id: i64) -> Result<(), StoreError> {
        self.rows(OVER_TOLD, &[&id]).await.map(drop)
    }
}
