//! Reading: one message with all that became of it; the state of the rooms.
use jiff::Timestamp;
use serde_json::Value;

use super::Statement;
use super::connection::{Store, StoreError};

/// A message as found by its uid or short uid.
pub struct Found {
    /// Identity.
    pub uid: String,
    /// What its producer calls it.
    pub given_uid: String,
    /// What people call it.
    pub short_uid: String,
    /// Where it came from.
    pub source: String,
    /// What accept decided.
    pub verdict: String,
    /// Why.
    pub verdict_reason: Option<String>,
    /// When.
    pub accepted_at: Timestamp,
    /// `[{room, state, cause, parts: [{n, kind, state, attempt}], events: [{at, from, to, cause}]}]`
    pub deliveries: Value,
}

/// By identity (`$1`), or where that is null by what a person typed. Which half runs is known when it starts: the
/// subquery of a `coalesce` runs only if it is needed.
const FIND: &str = "
select m.uid, m.given_uid, m.short_uid, m.source, m.verdict, m.verdict_reason, m.accepted_at,
  coalesce((select jsonb_agg(jsonb_build_object(
      'room', d.room, 'state', d.state, 'cause', d.cause,
      'parts', coalesce((select jsonb_agg(jsonb_build_object('n', p.n, 'kind', p.kind, 'state', p.state,
                                                             'attempt', p.attempt) order by p.n)
                         from parts p where p.delivery = d.id), '[]'),
      'events', coalesce((select jsonb_agg(jsonb_build_object('at', e.at, 'from', e.old_state, 'to', e.new_state,
                                                              'cause', e.cause) order by e.id)
                          from delivery_events e where e.delivery = d.id), '[]')) order by d.id)
    from deliveries d where d.uid = m.uid), '[]') as deliveries
from messages m
where m.uid = any(coalesce($1::text[], array(
  select x.uid from messages x
  where x.short_uid = any($5::text[]) and ($4::text is null or x.sent_by = $4)
    and (lower(x.given_uid) = lower($2) or lower(x.short_uid) = lower($2) or x.uid in ($2, $3))
  order by x.accepted_at desc limit 20)))
order by m.accepted_at desc";

const ROOM_STATES: &str = "
select r.name, r.state, coalesce(r.state_reason, case when l.paused_until > clock_timestamp()
       then l.pause_cause end) as reason, q.queued, q.oldest_s, t.trouble,
       case when l.paused_until > clock_timestamp() then l.paused_until end as paused_until,
       extract(epoch from clock_timestamp() - r.heard_at)::float8 as heard_s
from rooms r join lanes l on l.room = r.name
cross join lateral (
  select count(*) as queued,
         extract(epoch from clock_timestamp() - min(x.accepted_at))::float8 as oldest_s
  from (select m.accepted_at from deliveries d join messages m using (uid)
        where d.room = r.name and d.state in ('queued', 'sending')
        order by d.prio desc, d.begun desc, d.qseq limit 10001) x) q
cross join lateral (
  select count(*) as trouble from (
    (select 1 from deliveries d where d.room = r.name and d.state in ('failed', 'unconfirmed')
     order by d.id desc limit 1001)
    union all
    (select 1 from deliveries d where d.room = r.name and d.state = 'withdrawn' and d.alarm is not null and d.told
     order by d.id desc limit 1001) limit 1001) y) t
where r.name = any($1) order by r.name";

const FUNCTIONS_SEEN: &str = "
select function, extract(epoch from clock_timestamp() - last_ran_at)::float8 from functions_seen order by 1";

pub(super) const STATEMENTS: &[Statement] =
    &[("find", FIND), ("room_states", ROOM_STATES), ("functions_seen", FUNCTIONS_SEEN)];

/// How one room stands.
pub struct RoomState {
    /// Its name.
    pub name: String,
    /// open, paused, suspended.
    pub state: String,
    /// Why it is not open, or why it pauses.
    pub reason: Option<String>,
    /// Deliveries queued or being sent.
    pub queued: i64,
    /// Age of the oldest of them, seconds.
    pub oldest_s: Option<f64>,
    /// Paused until then.
    pub paused_until: Option<Timestamp>,
    /// Since the last callback about a line in its group, seconds.
    pub heard_s: Option<f64>,
    /// Deliveries unconfirmed or failed, or left to a producer that told nothing, counted up to 1,001.
    pub trouble: i64,
}

fn found(row: &tokio_postgres::Row) -> Result<Found, StoreError> {
    Ok(Found {
        uid: row.try_get("uid")?,
        given_uid: row.try_get("given_uid")?,
        short_uid: row.try_get("short_uid")?,
        source: row.try_get("source")?,
        verdict: row.try_get("verdict")?,
        verdict_reason: row.try_get("verdict_reason")?,
        accepted_at: row.try_get("accepted_at")?,
        deliveries: row.try_get("deliveries")?,
    })
}

impl Store {
    /// Messages with these identities.
    pub async fn find_by_key(&self, uids: &[String]) -> Result<Vec<Found>, StoreError> {
        let none: Option<&str> = None;
        let rows = self.rows(FIND, &[&Some(uids), &none, &none, &none, &None::<Vec<String>>]).await?;
        rows.iter().map(found).collect()
    }

    /// Messages that a person may mean by `uid` (full as given, short, or with its source behind it), the most recent first,
    /// at most 20; only those that `sent_by` sent, where it is given.
    pub async fn find(&self, uid: &str, sent_by: Option<&str>) -> Result<Vec<Found>, StoreError> {
        let short = uid.split('-').next().filter(|s| !s.is_empty()).unwrap_or(uid);
        let named = uid.split(['-', '@']).next().filter(|s| !s.is_empty()).unwrap_or(uid);
        let shorts = vec![short.to_owned(), short.to_ascii_lowercase(), short.to_ascii_uppercase(), named.to_owned()];
        let none: Option<Vec<String>> = None;
        let rows =
            self.rows(FIND, &[&none, &Some(uid), &Some(uid.to_ascii_lowercase()), &sent_by, &Some(shorts)]).await?;
        rows.iter().map(found).collect()
    }

    /// How the rooms stand. The count stops at 10,001 a room: a health check must not read a backlog.
    pub async fn room_states(&self, rooms: &[String]) -> Result<Vec<RoomState>, StoreError> {
        let rows = self.rows(ROOM_STATES, &[&rooms]).await?;
        rows.iter()
            .map(|r| {
                Ok(RoomState {
                    name: r.try_get("name")?,
                    state: r.try_get("state")?,
                    reason: r.try_get("reason")?,
                    queued: r.try_get("queued")?,
                    oldest_s: r.try_get("oldest_s")?,
                    paused_until: r.try_get("paused_until")?,
                    heard_s: r.try_get("heard_s")?,
                    trouble: r.try_get("trouble")?,
                })
            })
            .collect()
    }

    /// Seconds since each function last ran.
    pub async fn functions_seen(&self) -> Result<Vec<(String, f64)>, StoreError> {
        let rows = self.rows(FUNCTIONS_SEEN, &[]).await?;
        rows.iter().map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).collect()
    }
}
