//! Which sources are muted: what they send is held, unless it is urgent, until the mute is over. Accept looks at them
//! without a lock: where it races one that begins or ends, the sweep does what it could not see.
use jiff::Timestamp;

use super::Statement;
use super::commands::Turn;
use super::connection::{Store, StoreError};

/// Each message that is accepted is compared with all of them.
pub const MOST: i64 = 20;

const OTHERS: &str = "
select count(*) from mutes
where ended_at is null and (until is null or until > clock_timestamp()) and pattern <> $1";

/// Muting again changes only the term, also of one that was just over.
const MUTE: &str = "
insert into mutes as u (pattern, matches, room, muted_by_sealed, until)
values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5::float8))
on conflict (pattern) where ended_at is null do update set until = excluded.until, let_go = false
returning id, until, xmax <> 0 as again";

/// What waits already, of which nothing was posted. Its producer is answered, and takes over nothing; what it posts by
/// now is left to be withdrawn. In the order of their keys.
const HOLD: &str = "
with x as (
  select d.id from deliveries d join messages m using (uid)
  where d.state = 'queued' and d.sent + d.unsure = 0 and d.prio < 2 and m.door in ('http', 'rabbitmq')
    and coalesce(d.deliver_by > (select clock_timestamp()), true) and (m.source || '.') ~ $2::text
    and not exists (select 1 from parts p where p.delivery = d.id and p.state = 'posting')
  order by d.id for no key update of d)
update deliveries d set state = 'held', cause = 'its source is muted', held_by = $1, due_at = null, deliver_by = null
from x where d.id = x.id returning d.id";

/// The same for what was being accepted when a mute began, and had not seen it. What somebody sends again by hand is not.
const HOLD_LATE: &str = "
with fresh as materialized (
  select id, matches from mutes
  where not let_go and ended_at is null and (until is null or until > clock_timestamp())
    and muted_at > clock_timestamp() - interval '1 min'),
x as (
  select d.id, u.id as mute from deliveries d join messages m using (uid)
  cross join lateral (select fresh.id from fresh where (m.source || '.') ~ fresh.matches limit 1) u
  where exists (select 1 from fresh) and d.state = 'queued' and d.cause = 'accepted' and not d.begun and d.prio < 2
    and m.door in ('http', 'rabbitmq') and coalesce(d.deliver_by > (select clock_timestamp()), true)
  order by d.id for no key update of d skip locked)
update deliveries d set state = 'held', cause = 'its source is muted', held_by = x.mute, due_at = null, deliver_by = null
from x where d.id = x.id";

/// Whether a mute is at work, or holds something still: else a sweep has nothing to do with them.
const AT_WORK: &str = "
select exists (select 1 from mutes where not let_go)
       or exists (select 1 from deliveries where state = 'held' and held_by > 0)";

const UNMUTE: &str = "
update mutes set ended_at = clock_timestamp(), ended_by_sealed = $2, told = true
where pattern = $1 and ended_at is null and (until is null or until > clock_timestamp()) returning id";

/// Mutes that are over and hold something, found from what is held: whoever came late with it.
const OVER_HOLDING: &str = "
with recursive holding as (
  (select held_by from deliveries where state = 'held' and held_by > 0 order by held_by limit 1)
  union all
  select (select d.held_by from deliveries d where d.state = 'held' and d.held_by > h.held_by order by d.held_by limit 1)
  from holding h where h.held_by is not null)
select u.id from holding h join mutes u on u.id = h.held_by
where u.ended_at is not null or u.until <= (select clock_timestamp())";

/// They enter the queue in their old order, a thousand at once; what another mute matches is held by that from now on. Its
/// age begins now, unless its producer said when it is too old.
const LET_GO: &str = "
with t as materialized (select clock_timestamp() as now),
x as materialized (
  select d.id, d.uid, d.qseq from deliveries d where d.held_by = any($1::bigint[]) and d.state = 'held'
  order by d.qseq limit 1000 for no key update skip locked),
other as materialized (
  select x.id, x.qseq, (
    select u.id from mutes u, t join messages m on m.uid = x.uid
    where not u.let_go and u.id <> all($1) and u.ended_at is null and (u.until is null or u.until > t.now)
      and (m.source || '.') ~ u.matches
    order by u.until desc nulls first limit 1) as mute
  from x),
n as materialized (
  select id, nextval('queue_seq') as qseq from (select id from other where mute is null order by qseq offset 0) o)
update deliveries d set
  state = case when o.mute is null then 'queued' else 'held' end,
  cause = case when o.mute is null then 'its mute is over' else d.cause end,
  held_by = coalesce(o.mute, d.held_by), qseq = coalesce(n.qseq, d.qseq), begun = false, due_at = null,
  expires_at = case when d.expires_at < d.media_since + d.age - interval '1 s' then d.expires_at
                    else greatest(d.expires_at, t.now + d.age) end
from other o left join n using (id), t where d.id = o.id";

/// From here on what comes of their sources is queued at once: nothing is held that it could overtake.
const EMPTY: &str = "
update mutes u set let_go = true
where not u.let_go and (u.ended_at is not null or u.until <= (select clock_timestamp()))
  and not exists (select 1 from deliveries d where d.held_by = u.id and d.state = 'held')";

/// How many of what were held by a mute, most first. Not what is not to be posted any more.
const HELD: &str = "
select m.source, count(*) from deliveries d join messages m using (uid)
where d.held_by = $1 and d.state <> 'withdrawn' group by m.source order by 2 desc, 1";

const HELD_NOW: &str = "select count(*) from deliveries where held_by = $1 and state = 'held'";

/// Ten more than there may be: of two that mute at once neither counts the other.
const MUTES: &str = "
select u.pattern, u.until, (select count(*) from deliveries d where d.held_by = u.id and d.state = 'held') as held
from mutes u where u.ended_at is null and (u.until is null or u.until > clock_timestamp()) order by u.id limit 30";

/// Mutes that ended by themselves and whose room has not been told; what they held is in the queue by now.
const OVER: &str = "
select u.id, u.pattern, u.room, u.until from mutes u
where u.ended_at is null and u.until <= clock_timestamp() and not u.told and u.let_go order by u.id limit 20";

/// Not of one that somebody prolonged meanwhile.
const OVER_TOLD: &str = "
update mutes set told = true, ended_at = until where id = $1 and ended_at is null and until <= clock_timestamp()";

pub(super) const STATEMENTS: &[Statement] = &[
    ("other_mutes", OTHERS),
    ("mute", MUTE),
    ("hold", HOLD),
    ("hold_late", HOLD_LATE),
    ("mutes_at_work", AT_WORK),
    ("unmute", UNMUTE),
    ("mutes_over_holding", OVER_HOLDING),
    ("let_go_of_held", LET_GO),
    ("mutes_empty", EMPTY),
    ("held", HELD),
    ("held_now", HELD_NOW),
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
    pub held: i64,
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
    /// Mutes sources, and holds what of theirs waits; `None` where there are as many mutes as there may be.
    pub async fn mute(&self, new: &NewMute<'_>) -> Result<Option<Muted>, StoreError> {
        let others: i64 = self.rows(OTHERS, &[&new.pattern]).await?.first().map_or(Ok(0), |row| row.try_get(0))?;
        if others >= MOST {
            return Ok(None);
        }
        let rows = self.rows(MUTE, &[&new.pattern, &new.matches, &new.room, &new.by_sealed, &new.term]).await?;
        let row = rows.first().ok_or(StoreError::Answer("a mute"))?;
        let (id, until): (i64, Option<Timestamp>) = (row.try_get("id")?, row.try_get("until")?);
        self.rows(HOLD, &[&id, &new.matches]).await?;
        let held = self.rows(HELD_NOW, &[&id]).await?.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(Some(Muted { until, again: row.try_get("again")?, held }))
    }

    /// Ends a mute, and queues what it held: how many of what; `None` where there is none.
    pub async fn unmute(&self, pattern: &str, by_sealed: &[u8]) -> Result<Option<Held>, StoreError> {
        let rows = self.rows(UNMUTE, &[&pattern, &by_sealed]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let id: i64 = row.try_get(0)?;
        self.rows(LET_GO, &[&[id].as_slice()]).await?;
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
    /// When it ended.
    pub until: Timestamp,
    /// How many of what it held.
    pub held: Held,
}

impl Store {
    /// Holds what slipped past a mute that began, and lets go what those hold that are over.
    pub(super) async fn sweep_mutes(&self) -> Result<(), StoreError> {
        if !self.rows(AT_WORK, &[]).await?.first().map_or(Ok(false), |row| row.try_get(0))? {
            return Ok(());
        }
        self.rows(HOLD_LATE, &[]).await?;
        let over = self.rows(OVER_HOLDING, &[]).await?;
        let over = over.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        if !over.is_empty() {
            self.rows(LET_GO, &[&over]).await?;
        }
        self.rows(EMPTY, &[]).await.map(drop)
    }

    /// Mutes that ended by themselves, and whose room is to be told.
    pub async fn mutes_over(&self) -> Result<Vec<Over>, StoreError> {
        let mut over = Vec::new();
        for row in self.rows(OVER, &[]).await? {
            let id: i64 = row.try_get("id")?;
            let held = held(&self.rows(HELD, &[&id]).await?)?;
            over.push(Over {
                id,
                pattern: row.try_get("pattern")?,
                room: row.try_get("room")?,
                until: row.try_get("until")?,
                held,
            });
        }
        Ok(over)
    }

    /// Notes that the room was told of its end.
    pub async fn mute_told(&self, id: i64) -> Result<(), StoreError> {
        self.rows(OVER_TOLD, &[&id]).await.map(drop)
    }
}
