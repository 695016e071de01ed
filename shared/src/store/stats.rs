//! Statistics: of a time, from the sums of its hours and from what is not summed (see `migrations/V6__stats.sql`), so that
//! a month with a million messages is counted in milliseconds; and of one sender, from that sender's messages.
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use super::Statement;
use super::commands::Turn;
use super::connection::{Store, StoreError};

/// Hours that are over, from the latest that was noted by this; hours without messages are skipped. That an hour is summed
/// or marked says nothing of those before it: a change may have marked it first.
const NOTE_HOURS: &str = "
with recursive over as materialized (select clock_timestamp() - interval '75 min' as hour),
known as materialized (select (select hour from stats_noted) as hour),
next as (
  select 1 as n, (select date_bin('1 hour', m.accepted_at, 'epoch') from messages m
                  where m.accepted_at >= (select coalesce(known.hour + interval '1 hour', '-infinity') from known)
                  order by m.accepted_at limit 1) as hour
  union all
  select n + 1, (select date_bin('1 hour', m.accepted_at, 'epoch') from messages m
                 where m.accepted_at >= next.hour + interval '1 hour' order by m.accepted_at limit 1)
  from next, over where n < 1000 and next.hour <= over.hour),
noted as (
  insert into stats_due (hour) select next.hour from next, over where next.hour <= over.hour returning hour)
insert into stats_noted as s (hour) select max(hour) from noted having max(hour) is not null
on conflict (one) do update set hour = greatest(s.hour, excluded.hour)";

/// One at a time: of two that sum the same hour, the one that saw less must not have the last word.
const LOCK_SUMS: &str = "select pg_try_advisory_xact_lock(9, 0)";

/// Sums the hour that is due longest, or puts it off by a minute while something in it waits. It takes away the marks
/// that it saw; what it did not see has a mark of its own, committed with it. Where messages were forgotten since it was
/// summed, the sum stays. Message by message through indexes (`offset 0`), however large the planner thinks an hour is.
const SUM_HOUR: &str = "
with t as materialized (select clock_timestamp() as now),
due as materialized (
  select x.hour from stats_due x, t where x.due <= t.now and x.hour <= t.now - interval '75 min' order by x.due limit 1),
marks as materialized (select x.id from stats_due x where x.hour = (select hour from due)),
each as materialized (
  select due.hour, m.source, m.state, m.wait_ms,
         m.state in ('held', 'scheduled', 'queued', 'sending')
         or exists (select 1 from deliveries d
                    where d.uid = m.uid and d.media_since > (select now - interval '15 min' from t)) as waits
  from due cross join lateral (
    select o.uid, o.source, o.state, o.wait_ms from message_outcomes o
    where o.accepted_at >= due.hour and o.accepted_at < due.hour + interval '1 hour' offset 0) m),
unsettled as materialized (select coalesce(bool_or(waits), false) as yes from each),
outcomes as (
  select array_agg(source) as sources, array_agg(state) as states, array_agg(n) as messages
  from (select source, state, count(*)::int as n from each group by source, state order by source, state) x),
waited as (
  select array_agg(class) as waits, array_agg(n) as waited
  from (select wait_class(wait_ms) as class, count(*)::int as n from each where wait_ms is not null
        group by 1 order by 1) x),
summed as (
  insert into stats_hours as s (hour, sources, states, messages, waits, waited, worst)
  select due.hour, o.sources, o.states, o.messages, coalesce(w.waits, '{}'), coalesce(w.waited, '{}'),
         (select max(wait_ms) from each)
  from due, outcomes o, waited w, unsettled where o.sources is not null and not unsettled.yes
  on conflict (hour) do update set sources = excluded.sources, states = excluded.states, messages = excluded.messages,
    waits = excluded.waits, waited = excluded.waited, worst = excluded.worst
  where (select sum(n) from unnest(excluded.messages) n) >= (select sum(n) from unnest(s.messages) n)),
put_off as (
  update stats_due d set due = t.now + interval '1 min' from t, unsettled, marks where unsettled.yes and d.id = marks.id),
gone as (delete from stats_due d using marks, unsettled where d.id = marks.id and not unsettled.yes)
select exists (select 1 from due) as looked";

/// Whole hours from their sums, unless something in them changed since; the rest message by message. The median is the
/// wait of the message in the middle (of an even number: the lower one), as its class. The rarest sources are left
/// out. A call that a producer made itself is none of ours.
const STATS: &str = "
with span as materialized (
  select $1::timestamptz as since, $2::timestamptz as until, date_bin('1 hour', $2, 'epoch') as last,
         date_bin('1 hour', $1 + interval '1 hour' - interval '1 us', 'epoch') as first),
whole as materialized (
  select h.* from span, stats_hours h
  where h.hour >= span.first and h.hour < span.last and not exists (select 1 from stats_due d where d.hour = h.hour)),
pieces as materialized (
  select since as low, least(first, until) as high from span where since < first
  union all select last, until from span where first <= last and last < until
  union all
  select g, g + interval '1 hour' from span, generate_series(first, last - interval '1 hour', interval '1 hour') g
  where not exists (select 1 from whole w where w.hour = g)),
each as materialized (
  select m.source, m.state, m.wait_ms from pieces p cross join lateral (
    select o.source, o.state, o.wait_ms from message_outcomes o
    where o.accepted_at >= p.low and o.accepted_at < p.high offset 0) m),
outcomes as materialized (
  select source, state, sum(n) as n
  from (select unnest(sources) as source, unnest(states) as state, unnest(messages) as n from whole
        union all select source, state, 1 from each) x
  group by source, state),
waits as (
  select class, sum(n) as n
  from (select unnest(waits) as class, unnest(waited) as n from whole
        union all select wait_class(wait_ms), 1 from each where wait_ms is not null) x
  group by class),
ranked as materialized (select class, sum(n) over (order by class) as up_to, sum(n) over () as all_waits from waits),
sources as (select source, sum(n)::bigint as n from outcomes group by source),
states as (select state, sum(n)::bigint as n from outcomes group by state)
select
  coalesce((select sum(n) from outcomes), 0)::bigint as messages,
  coalesce((select jsonb_agg(jsonb_build_array(source, n) order by n desc, source)
            from (select * from sources order by n desc, source limit 100) x), '[]') as sources,
  coalesce((select jsonb_agg(jsonb_build_array(state, n) order by n desc, state) from states), '[]') as states,
  coalesce((select max(all_waits) from ranked), 0)::bigint as waited,
  (select round(exp(min(class) / 10.0::float8))::bigint from ranked where up_to * 2 >= all_waits) as median_ms,
  (select max(ms) from (select worst as ms from whole union all select wait_ms from each) x) as worst_ms,
  (select count(*) from api_calls c where c.at >= $1 and c.at < $2
     and c.operation = 'post' and c.outcome not in ('posted', 'recorded')) as api_errors";

/// All that one sender ever sent. Refused: as far as is known it is in no room.
const SENDER_STATS: &str = "
with mine as materialized (select o.accepted_at, o.state from message_outcomes o where o.sender_hash = $1)
select count(*) as messages, min(accepted_at) as first, max(accepted_at) as last,
       count(*) filter (where state in ('failed', 'expired', 'blocked', 'rejected')) as refused,
       count(*) filter (where state = 'banned') as banned
from mine";

/// Only the sealed list says how many pictures there are; where there is none, there is no list.
const SENDER_MEDIA: &str = "
select uid, media_sealed from messages where sender_hash = $1 and media_sealed is not null
order by accepted_at desc limit 10000";

/// Quarters of an hour: of them the hours of every zone are made.
const SENDER_QUARTERS: &str = "
select date_bin('15 min', accepted_at, 'epoch') as quarter, count(*) as n
from messages where sender_hash = $1 group by 1";

pub(super) const STATEMENTS: &[Statement] = &[
    ("note_hours", NOTE_HOURS),
    ("lock_sums", LOCK_SUMS),
    ("sum_hour", SUM_HOUR),
    ("stats", STATS),
    ("sender_stats", SENDER_STATS),
    ("sender_media", SENDER_MEDIA),
    ("sender_quarters", SENDER_QUARTERS),
];

/// What happened at the station in some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Messages accepted in that time.
    pub messages: i64,
    /// How many came from where: the hundred sources with most, those first.
    pub sources: Vec<(String, i64)>,
    /// How many stand where: the verdict, or of an accepted one the state of its delivery that is least far.
    pub states: Vec<(String, i64)>,
    /// Of how many the wait is known: from the acceptance until the chat's answer to the first part was written down.
    pub waited: i64,
    /// The middle one of those waits, milliseconds, to within 5 %.
    pub median_ms: Option<i64>,
    /// The longest, milliseconds.
    pub worst_ms: Option<i64>,
    /// Posts that were tried in that time and did not succeed, whatever they were of.
    pub api_errors: i64,
}

/// What is known of a sender's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderStats {
    /// How many.
    pub messages: i64,
    /// When the first came.
    pub first: Option<Timestamp>,
    /// And the last.
    pub last: Option<Timestamp>,
    /// Messages that failed, expired, were blocked or rejected.
    pub refused: i64,
    /// Messages that came while the sender was banned.
    pub banned: i64,
}

fn counts(value: &Value) -> Result<Vec<(String, i64)>, StoreError> {
    let count = |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_i64()?));
    let list = value.as_array().and_then(|list| list.iter().map(count).collect());
    list.ok_or(StoreError::Answer("counts"))
}

fn stats(rows: &[Row]) -> Result<Stats, StoreError> {
    let row = rows.first().ok_or(StoreError::Answer("a row"))?;
    let worst_ms: Option<i64> = row.try_get("worst_ms")?;
    // What its class stands for may be longer than any wait was.
    let median_ms: Option<i64> = row.try_get("median_ms")?;
    Ok(Stats {
        messages: row.try_get("messages")?,
        sources: counts(&row.try_get("sources")?)?,
        states: counts(&row.try_get("states")?)?,
        waited: row.try_get("waited")?,
        median_ms: median_ms.map(|median| median.min(worst_ms.unwrap_or(median))),
        worst_ms,
        api_errors: row.try_get("api_errors")?,
    })
}

impl Store {
    /// What happened from `since` until before `until`.
    pub async fn stats(&self, since: Timestamp, until: Timestamp) -> Result<Stats, StoreError> {
        stats(&self.rows(STATS, &[&since, &until]).await?)
    }

    /// Notes hours that are to be summed: up to a thousand that came to their end since.
    pub async fn note_hours(&self) -> Result<(), StoreError> {
        self.rows(NOTE_HOURS, &[]).await.map(drop)
    }

    /// Sums one hour that is due; whether there may be more. Somebody else at it is enough.
    pub async fn sum_hour(&self) -> Result<bool, StoreError> {
        let turn = self.begin().await?;
        let summed = async {
            let locked: bool = turn.rows(LOCK_SUMS, &[]).await?.first().map_or(Ok(false), |row| row.try_get(0))?;
            if !locked {
                return Ok(false);
            }
            let rows = turn.rows(SUM_HOUR, &[]).await?;
            Ok(rows.first().map_or(Ok(false), |row| row.try_get("looked"))?)
        };
        let summed = summed.await;
        turn.end(summed).await
    }
}

impl Turn {
    /// As [`Store::stats`], within this turn.
    pub async fn stats(&self, since: Timestamp, until: Timestamp) -> Result<Stats, StoreError> {
        stats(&self.rows(STATS, &[&since, &until]).await?)
    }

    /// What is known of a sender's messages.
    pub async fn sender_stats(&self, sender_hash: &[u8]) -> Result<SenderStats, StoreError> {
        let rows = self.rows(SENDER_STATS, &[&sender_hash]).await?;
        let row = rows.first().ok_or(StoreError::Answer("a row"))?;
        Ok(SenderStats {
            messages: row.try_get("messages")?,
            first: row.try_get("first")?,
            last: row.try_get("last")?,
            refused: row.try_get("refused")?,
            banned: row.try_get("banned")?,
        })
    }

    /// The sealed lists of what came with a sender's messages, with their uids: of the last ten thousand that have one.
    pub async fn sender_media(&self, sender_hash: &[u8]) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.rows(SENDER_MEDIA, &[&sender_hash]).await?;
        rows.iter().map(|row| Ok((row.try_get("uid")?, row.try_get("media_sealed")?))).collect()
    }

    /// How many messages came from a sender in each quarter of an hour in which one did, by when that begins.
    pub async fn sender_quarters(&self, sender_hash: &[u8]) -> Result<Vec<(Timestamp, i64)>, StoreError> {
        let rows = self.rows(SENDER_QUARTERS, &[&sender_hash]).await?;
        rows.iter().map(|row| Ok((row.try_get("quarter")?, row.try_get("n")?))).collect()
    }
}
