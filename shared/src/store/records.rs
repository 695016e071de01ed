//! Records: calls that producers made themselves. They settle a delivery whichever comes first, original or record.
use serde_json::Value;

use super::Statement;
use super::connection::{Store, StoreError};

/// One statement. A record settles only its own room, never overwrites rows, and stops the remaining parts of what is
/// being posted; in the order of keys, messages before deliveries, for the same reason as accept (who counts `msg` makes
/// it run first: what nobody reads runs last, in reverse). Two records of one message in a batch are one
/// message and one delivery, and two calls. What settles nothing (a post that failed, an upload, a callback) is a call
/// only: it says nothing of the message. What our own functions tell of a post that they made while the database was
/// away says more than a producer does: how long it took, how it ended, and of which content it was; and it is
/// published like any other call of ours.
const SETTLE: &str = "
with input as materialized (
  select e.ord, e.m->>'uid' as uid, e.m from jsonb_array_elements($1::jsonb) with ordinality e(m, ord)),
msg as (
  insert into messages (uid, given_uid, short_uid, source, door, sent_by, verdict, priority, accepted_by, body,
                        content_hash)
  select distinct on (uid) uid, m->>'given_uid', m->>'short_uid', m->>'source', coalesce(m->>'door', 'rabbitmq'),
         m->>'sent_by', 'already_sent', coalesce((m->>'priority')::smallint, 0), $2::text, m->>'text',
         decode(m->>'content_hash', 'base64')
  from input where (m->>'settles')::boolean order by uid, ord
  on conflict (uid) do nothing returning uid),
del as (
  insert into deliveries (uid, room, prio, qseq, state, cause, parts, sent, age, expires_at)
  select uid, room, 0, 0, 'sent', 'its producer posted it', 1, 1, interval '1 day', clock_timestamp() + interval '1 day'
  from (select distinct uid, m->>'room' as room from input where (m->>'settles')::boolean and m->>'room' is not null) s
  where (select count(*) from msg) >= 0
  order by uid, room
  on conflict (uid, room) do update set state = 'sent', cause = 'its producer posted it'
  where deliveries.state in ('queued', 'scheduled', 'held', 'sending', 'withdrawn', 'expired', 'failed')),
call as (
  insert into api_calls (at, uid, room, channel, operation, status, outcome, latency_ms, request, error, record_key)
  select coalesce((m->>'at')::timestamptz, clock_timestamp()), uid, m->>'room', coalesce(m->>'channel', 'groupme'),
         m->>'operation', (m->>'status')::smallint, coalesce(m->>'outcome', 'recorded'), (m->>'latency_ms')::int,
         m->'request', m->>'error', (m->>'record_key')::uuid
  from input order by ord
  on conflict (record_key) where record_key is not null do nothing returning id, outcome),
outbox as (
  insert into record_outbox (call)
  select id from call where outcome <> 'recorded' and exists (select 1 from record_publishing) order by id
  on conflict (call) where call is not null do nothing),
line as (
  insert into groupme_callbacks (group_id, line_id, learnt_by, sender_type, text_length, payload_sealed)
  select distinct on (m->'line'->>'group_id', m->'line'->>'line_id')
         m->'line'->>'group_id', m->'line'->>'line_id', 'record', m->'line'->>'sender_type',
         (m->'line'->>'text_length')::int, decode(m->'line'->>'payload_sealed', 'base64')
  from input where m->'line' is not null and m->>'line' is not null order by 1, 2
  on conflict do nothing)
select count(*) from input";

pub(super) const STATEMENTS: &[Statement] = &[("settle", SETTLE)];

impl Store {
    /// Stores a batch of records.
    pub async fn settle(&self, batch: &Value, mark: &str) -> Result<(), StoreError> {
        self.rows(SETTLE, &[&batch, &mark]).await.map(drop)
    }
}
