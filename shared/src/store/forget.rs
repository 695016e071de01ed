//! Retention: deletes what is older than it need be kept, at most a thousand rows of a table at a time.
use std::time::Duration;

use super::Statement;
use super::connection::{Store, StoreError};

const CALLBACKS: &str = "
delete from groupme_callbacks where (group_id, line_id) in (
  select group_id, line_id from groupme_callbacks
  where received_at < (select clock_timestamp() - make_interval(secs => $1)) order by received_at limit 1000)";

const REFUSALS: &str = "
delete from callback_refusals where minute < (select clock_timestamp() - make_interval(secs => $1))";

const REJECTED: &str = "
delete from rejected where id in (
  select id from rejected where at < (select clock_timestamp() - make_interval(secs => $1)) order by at limit 1000)";

/// Finished messages with all that belongs to them.
const MESSAGES: &str = "
with m as materialized (
  select uid from messages m where accepted_at < (select clock_timestamp() - make_interval(secs => $1))
    and not exists (select 1 from deliveries d where d.uid = m.uid
                    and d.state in ('queued', 'sending', 'scheduled', 'held'))
  order by accepted_at limit 1000 for update skip locked),
c as (delete from api_calls a using m where a.uid = m.uid),
e as (delete from delivery_events e using deliveries d, m where d.uid = m.uid and e.delivery = d.id),
p as (delete from parts p using deliveries d, m where d.uid = m.uid and p.delivery = d.id),
d as (delete from deliveries d using m where d.uid = m.uid),
i as (delete from pictures i using m where i.uid = m.uid)
delete from messages x using m where x.uid = m.uid";

pub(super) const STATEMENTS: &[Statement] = &[
    ("forget_callbacks", CALLBACKS),
    ("forget_refusals", REFUSALS),
    ("forget_rejected", REJECTED),
    ("forget_messages", MESSAGES),
];

impl Store {
    /// Deletes what is older than it need be kept: callbacks and refusals, rejected input, finished messages. `None`
    /// keeps for ever.
    pub async fn forget(
        &self,
        messages: Option<Duration>,
        callbacks: Option<Duration>,
        rejected: Option<Duration>,
    ) -> Result<(), StoreError> {
        for (statement, age) in
            [(CALLBACKS, callbacks), (REFUSALS, callbacks), (REJECTED, rejected), (MESSAGES, messages)]
        {
            if let Some(age) = age {
                self.rows(statement, &[&age.as_secs_f64()]).await?;
            }
        }
        Ok(())
    }
}
