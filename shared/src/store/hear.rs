//! A line said in the room: stored once, and taken as proof of the part that it is.
use std::time::Duration;

use jiff::Timestamp;

use super::Statement;
use super::connection::{Store, StoreError};

/// A line, however it was learnt.
pub struct Line<'a> {
    /// The group it was said in.
    pub group: &'a str,
    /// The provider's id of the line.
    pub id: &'a str,
    /// When it was said, by the provider's clock.
    pub created_at: Option<Timestamp>,
    /// `callback` or `read`.
    pub learnt_by: &'static str,
    /// `bot`, `user`, `system`, …
    pub sender_type: &'a str,
    /// Length of its text in code points.
    pub text_length: Option<i32>,
    /// Sealed JSON as it came.
    pub payload_sealed: Vec<u8>,
    /// The command it is, if it is one.
    pub command: Option<&'a str>,
    /// For a bot's line: the fingerprints by which it may be one of ours, shown or private.
    pub fingerprints: Option<Vec<Vec<u8>>>,
}

/// What hearing a line did.
#[derive(Debug, Clone)]
pub struct Heard {
    /// It had not been heard before.
    pub new: bool,
    /// The message that it confirmed a part of.
    pub confirmed: Option<String>,
    /// That part was not known to be posted: the answer of its call was lost, or is still to come.
    pub found: bool,
}

/// Runs after the group's advisory lock, with a snapshot younger than it: two lines with one text cannot both choose
/// the same part and leave the other unconfirmed.
///
/// Matches the oldest part still unconfirmed with that text over all rooms of the group (two bots in one group get the
/// same callback), but first what was answered as posted, then what is in the air, and only then a call that a newer one
/// has followed and nobody answered: perhaps it was never made, and if the other's line were taken for it, nobody would
/// say it again. If there is none, one that was judged absent and waits to be posted again: what the room shows is so,
/// whatever was judged. Then a later text, not yet claimed, of what has begun: while its caller was frozen its producer
/// took over and said all of it, and the record is still on its way. (A picture, or a notice of what is missing, may be
/// another message's.) A line known only from a producer's record is heard as if it were new: a record confirms nothing.
///
/// A first part that shows after its producer's time, though nobody of ours has told that it posted it, may be the
/// producer's: the rest waits `$10` for its lines and its record, else both would say it. What is in the air is judged
/// no sooner for that.
///
/// Locks delivery, then part. A part in the air is out of it now, so that nobody will claim it again: the row of its call
/// is written here, in case that its caller died; a living one completes it.
const HEAR: &str = "
with t as materialized (select clock_timestamp() as now),
fresh as materialized (
  select 1 where not exists (select 1 from groupme_callbacks where group_id = $1 and line_id = $2 and learnt_by <> 'record')),
asked as materialized (
  select p.delivery, p.n from fresh, parts p
  where p.room in (select name from rooms where group_id = $1) and p.fingerprint = any($9::bytea[])
    and (p.state in ('posting', 'sent', 'unconfirmed') or p.state = 'waiting' and p.attempt > 0)
  order by case when p.state = 'sent' then 0 when p.state = 'waiting' then 3
                when p.state = 'unconfirmed' or exists (
                  select 1 from parts o where o.room = p.room and o.fingerprint = p.fingerprint and o.state = 'posting'
                    and o.claimed_at > p.claimed_at) then 2
                else 1 end, p.claimed_at limit 1),
hit as materialized (
  select delivery, n from asked
  union all (
    select p.delivery, p.n from fresh, rooms r
    join deliveries d on d.room = r.name and d.state in ('queued', 'sending') and d.prio in (0, 1, 2) and d.begun
    join parts p on p.delivery = d.id
    where not exists (select 1 from asked) and r.group_id = $1 and p.fingerprint = any($9::bytea[])
      and p.state = 'waiting' and p.attempt = 0 and p.n > 1 and p.kind in ('text', 'closing')
    order by d.qseq limit 1)),
d0 as materialized (select d.id from deliveries d where d.id = (select delivery from hit) for no key update),
old as materialized (
  select p.delivery, p.n, p.state, p.room, p.attempt, p.token from parts p, d0, hit
  where p.delivery = d0.id and p.n = hit.n and p.state in ('posting', 'sent', 'unconfirmed', 'waiting')
  for no key update of p),
p as (
  update parts p set state = 'confirmed', confirmed_by = $2 from old
  where p.delivery = old.delivery and p.n = old.n returning p.delivery, p.n, old.state as was, old.room),
d as (
  update deliveries d set
    confirmed = d.confirmed + 1,
    sent = d.sent + (p.was <> 'sent')::int,
    unsure = d.unsure - (p.was = 'unconfirmed')::int,
    cause = 'seen in the room',
    blocked_until = case when p.was <> 'sent' and d.state in ('queued', 'sending') and d.deliver_by <= t.now
                              and d.sent + d.unsure - (p.was = 'unconfirmed')::int = 0
                           then greatest(case when p.was <> 'posting' then d.blocked_until end, t.now + make_interval(secs => $10))
                         when p.was = 'posting' then null else d.blocked_until end,
    state = case when d.confirmed + 1 >= d.parts then 'confirmed'
                 when d.state not in ('sent', 'confirmed') and d.sent + (p.was <> 'sent')::int >= d.parts then 'sent'
                 when d.state in ('sending', 'queued')
                      and d.sent + (p.was <> 'sent')::int + d.unsure - (p.was = 'unconfirmed')::int >= d.parts
                   then 'unconfirmed'
                 when d.state = 'queued' then 'sending' else d.state end
  from p, t where d.id = p.delivery returning d.id, d.uid),
trace as (
  insert into api_calls (uid, room, channel, operation, delivery, part, attempt, token, outcome, error)
  select d.uid, old.room, r.channel, 'post', old.delivery, old.n, old.attempt, old.token, 'unknown',
         'seen in the room, its caller has not told'
  from old join d on d.id = old.delivery join rooms r on r.name = old.room where old.state = 'posting'
  on conflict (delivery, part, attempt) where operation = 'post' and delivery is not null do nothing),
line as (
  insert into groupme_callbacks (group_id, line_id, created_at, learnt_by, sender_type, text_length, payload_sealed,
                                 command, delivery, part)
  select $1, $2, $3, $4, $5, $6, $7, $8, (select delivery from p), (select n from p) from fresh
  on conflict (group_id, line_id) do update set
    received_at = excluded.received_at, created_at = excluded.created_at, learnt_by = excluded.learnt_by,
    payload_sealed = excluded.payload_sealed, command = excluded.command, delivery = excluded.delivery, part = excluded.part
  where groupme_callbacks.learnt_by = 'record' returning line_id),
room as (
  update rooms r set
    heard_at = t.now,
    confirmed_post = coalesce((select l.posts from lanes l, p where l.room = r.name and p.room = r.name), r.confirmed_post)
  from t, fresh where r.group_id = $1 and $4 = 'callback')
select exists (select 1 from line) as new, (select uid from d) as uid,
       coalesce((select was <> 'sent' from p), false) as found";

const DELETED: &str = "
update groupme_callbacks set deleted_at = clock_timestamp() where group_id = $1 and line_id = $2 and deleted_at is null";

/// One group's lines are heard one after the other.
const LOCK_GROUP: &str = "select pg_advisory_xact_lock(hashtextextended($1, 7))";

pub(super) const STATEMENTS: &[Statement] = &[("lock_group", LOCK_GROUP), ("hear", HEAR), ("line_deleted", DELETED)];

impl Store {
    /// Marks a line that was deleted in the room; what it confirmed stays so.
    pub async fn line_deleted(&self, group: &str, line: &str) -> Result<(), StoreError> {
        self.rows(DELETED, &[&group, &line]).await.map(drop)
    }

    /// Stores a line and confirms with it; a repeat does nothing, and says so. `window`: how long the rest of a message
    /// waits whose first part may have been its producer's.
    pub async fn hear(&self, line: &Line<'_>, window: Duration) -> Result<Heard, StoreError> {
        self.again(|| self.hear_once(line, window)).await
    }

    async fn hear_once(&self, line: &Line<'_>, window: Duration) -> Result<Heard, StoreError> {
        let client = self.client().await?;
        let result = self
            .limit(async {
                let lock = client.prepare_cached(LOCK_GROUP).await?;
                let hear = client.prepare_cached(HEAR).await?;
                let window = window.as_secs_f64();
                let params: [&(dyn tokio_postgres::types::ToSql + Sync); 10] = [
                    &line.group,
                    &line.id,
                    &line.created_at,
                    &line.learnt_by,
                    &line.sender_type,
                    &line.text_length,
                    &line.payload_sealed,
                    &line.command,
                    &line.fingerprints,
                    &window,
                ];
                let group: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&line.group];
                let (begun, locked, row) = tokio::join!(
                    client.batch_execute("begin"),
                    client.execute(&lock, &group),
                    client.query_one(&hear, &params),
                );
                let row = match begun.and(locked).and(row) {
                    Ok(row) => row,
                    Err(error) => {
                        client.batch_execute("rollback").await?;
                        return Err(error.into());
                    }
                };
                client.batch_execute("commit").await?;
                Ok(Heard { new: row.try_get("new")?, confirmed: row.try_get("uid")?, found: row.try_get("found")? })
            })
            .await;
        Self::finish(client, result)
    }
}
