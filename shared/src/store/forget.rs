//! Retention: trims and deletes what is older than it need be kept, at most a thousand rows of a kind at a time. Each
//! statement enters an index at the oldest row, waits for nobody, and is whole by itself: who dies has trimmed less.
//! What is still needed stays: all that belongs to a delivery that is not finished, and what is still to be published.
use std::time::Duration;

use super::Statement;
use super::connection::{Store, StoreError};
use crate::config::Retention;

/// Rows of a kind that are trimmed at a time.
const BATCH: i64 = 1000;

/// The row stays: who was called when, about what, and how it ended.
const CALLS: &str = "
with x as materialized (
  select a.id from api_calls a
  where (a.request is not null or a.response is not null)
    and a.at < (select clock_timestamp() - make_interval(secs => $1))
    and not exists (select 1 from deliveries d where d.uid = a.uid and d.state in ('queued', 'sending', 'scheduled', 'held'))
    and not (exists (select 1 from record_publishing) and exists (select 1 from record_outbox o where o.call = a.id))
  order by a.at limit $2 for no key update of a skip locked),
gone as (update api_calls a set request = null, response = null from x where a.id = x.id returning 1)
select count(*) from gone";

/// Not those since shortly before the oldest call in the air was begun: the room may be read back from there, and a line
/// that was heard before must be known then, or it would stand for another part with the same text.
const CALLBACKS: &str = "
with x as materialized (
  select g.group_id, g.line_id from groupme_callbacks g
  where g.received_at < (select least(clock_timestamp() - make_interval(secs => $1),
                                      (select min(p.claimed_at) - interval '10 min' from parts p where p.state = 'posting')))
    and not (exists (select 1 from record_publishing)
             and exists (select 1 from record_outbox o where o.group_id = g.group_id and o.line_id = g.line_id))
  order by g.received_at limit $2 for update of g skip locked),
gone as (
  delete from groupme_callbacks g using x where g.group_id = x.group_id and g.line_id = x.line_id returning 1)
select count(*) from gone";

/// With the line that each was. Bans and mutes stay.
const COMMANDS: &str = "
with x as materialized (
  select c.group_id, c.line_id from commands c
  where c.at < (select clock_timestamp() - make_interval(secs => $1)) and c.state = 'told'
  order by c.at limit $2 for update of c skip locked),
gone as (delete from commands c using x where c.group_id = x.group_id and c.line_id = x.line_id returning 1)
select count(*) from gone";

const REFUSALS: &str = "
with x as materialized (
  select r.minute, r.reason from callback_refusals r
  where r.minute < (select clock_timestamp() - make_interval(secs => $1))
  order by r.minute limit $2 for update of r skip locked),
gone as (delete from callback_refusals r using x where r.minute = x.minute and r.reason = x.reason returning 1)
select count(*) from gone";

const EVENTS: &str = "
with x as materialized (
  select e.id from delivery_events e
  where e.at < (select clock_timestamp() - make_interval(secs => $1))
    and not exists (select 1 from deliveries d where d.id = e.delivery
                    and d.state in ('queued', 'sending', 'scheduled', 'held'))
  order by e.at limit $2 for update of e skip locked),
gone as (delete from delivery_events e using x where e.id = x.id returning 1)
select count(*) from gone";

const REJECTED: &str = "
with x as materialized (
  select r.id from rejected r where r.at < (select clock_timestamp() - make_interval(secs => $1))
  order by r.at limit $2 for update of r skip locked),
gone as (delete from rejected r using x where r.id = x.id returning 1)
select count(*) from gone";

/// Finished messages with all that belongs to them.
const MESSAGES: &str = "
with m as materialized (
  select uid from messages m where accepted_at < (select clock_timestamp() - make_interval(secs => $1))
    and not exists (select 1 from deliveries d where d.uid = m.uid
                    and d.state in ('queued', 'sending', 'scheduled', 'held'))
  order by accepted_at limit $2 for update skip locked),
c as (delete from api_calls a using m where a.uid = m.uid),
e as (delete from delivery_events e using deliveries d, m where d.uid = m.uid and e.delivery = d.id),
p as (delete from parts p using deliveries d, m where d.uid = m.uid and p.delivery = d.id),
d as (delete from deliveries d using m where d.uid = m.uid),
i as (delete from pictures i using m where i.uid = m.uid),
gone as (delete from messages x using m where x.uid = m.uid returning 1)
select count(*) from gone";

pub(super) const STATEMENTS: &[Statement] = &[
    ("trim_calls", CALLS),
    ("forget_callbacks", CALLBACKS),
    ("forget_commands", COMMANDS),
    ("forget_refusals", REFUSALS),
    ("forget_events", EVENTS),
    ("forget_rejected", REJECTED),
    ("forget_messages", MESSAGES),
];

impl Store {
    /// Trims and deletes a batch of each kind of what is older than it need be kept; whether there may be more. What
    /// fails for one kind keeps none of the others.
    pub async fn forget(&self, keep: &Retention) -> Result<bool, StoreError> {
        let mut more = Ok(false);
        for (statement, age) in [
            (CALLS, keep.calls),
            (CALLBACKS, keep.callbacks),
            (COMMANDS, keep.callbacks),
            (REFUSALS, keep.callbacks),
            (EVENTS, keep.events),
            (REJECTED, keep.rejected),
            (MESSAGES, keep.messages),
        ] {
            let Some(age) = age else { continue };
            match self.forget_batch(statement, age).await {
                Ok(gone) => more = more.map(|more| more || gone >= BATCH),
                Err(error) => more = more.and(Err(error)),
            }
        }
        more
    }

    async fn forget_batch(&self, statement: &'static str, age: Duration) -> Result<i64, StoreError> {
        let rows = self.rows(statement, &[&age.as_secs_f64(), &BATCH]).await?;
        rows.first().map_or(Ok(0), |row| Ok(row.try_get(0)?))
    }
}
