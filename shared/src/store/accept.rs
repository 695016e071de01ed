//! Accept: stores messages with their planned deliveries, idempotent on (uid, room).
use serde_json::Value;

use super::Statement;
use super::connection::{Store, StoreError};

/// One statement. Rows are inserted in the order of their keys (two doors with the same uids in other order would
/// deadlock) while `qseq` is drawn in the order given. The upsert on `messages` gives back the row that is really
/// there, also one that a concurrent accept has just committed: its `accepted_by` tells whose deliveries count. A row
/// without content hash was written by a producer's record that came first: the original fills it in. Whether the
/// sender is banned is seen here, behind the lock that a ban takes alone: what it does not find queued, it bans.
/// A mute is seen without a lock, which would cost each accept: what it did not see of one that begins or ends meanwhile,
/// the sweep does (see `store/mutes.rs`). What comes while a mute that is over still holds something goes behind that.
/// What its producer posts by now is not held, but withdrawn like any.
const ACCEPT: &str = "
with input as materialized (
  select e.ord, e.m->>'uid' as uid, e.m,
         e.m->>'verdict' = 'accepted' and exists (
           select 1 from bans b where b.sender_hash = decode(e.m->>'sender_hash', 'base64') and b.lifted_at is null
             and (b.until is null or b.until > clock_timestamp())) as banned
  from jsonb_array_elements($1::jsonb) with ordinality e(m, ord)),
msg as (
  insert into messages as x (uid, given_uid, short_uid, source, door, sent_by, verdict, verdict_reason, priority,
                             sender_hash, sender_sealed, body, body_sealed, media_sealed, content_hash, accepted_by,
                             reply_to, correlation_id, ack_url, answer)
  select uid, m->>'given_uid', m->>'short_uid', m->>'source', m->>'door', m->>'sent_by',
         case when banned then 'banned' else m->>'verdict' end,
         case when banned then 'sender' else m->>'verdict_reason' end, (m->>'priority')::smallint, decode(m->>'sender_hash', 'base64'),
         decode(m->>'sender_sealed', 'base64'), case when not banned then m->>'body' end,
         case when banned or m->>'body' is null then decode(m->>'body_sealed', 'base64') end,
         decode(m->>'media_sealed', 'base64'), decode(m->>'content_hash', 'base64'), $2::text,
         m->>'reply_to', m->>'correlation_id', (m->>'ack_url')::boolean, m->>'answer'
  from input order by uid
  on conflict (uid) do update set
    repeats = x.repeats + 1,
    accepted_by = case when x.content_hash is null then excluded.accepted_by else x.accepted_by end,
    source = case when x.content_hash is null then excluded.source else x.source end,
    verdict = case when x.content_hash is null then excluded.verdict else x.verdict end,
    verdict_reason = case when x.content_hash is null then excluded.verdict_reason else x.verdict_reason end,
    priority = case when x.content_hash is null then excluded.priority else x.priority end,
    sent_by = case when x.content_hash is null then excluded.sent_by else x.sent_by end,
    door = case when x.content_hash is null then excluded.door else x.door end,
    sender_hash = case when x.content_hash is null then excluded.sender_hash else x.sender_hash end,
    sender_sealed = case when x.content_hash is null then excluded.sender_sealed else x.sender_sealed end,
    body = case when x.content_hash is null then excluded.body else x.body end,
    body_sealed = case when x.content_hash is null then excluded.body_sealed else x.body_sealed end,
    media_sealed = case when x.content_hash is null then excluded.media_sealed else x.media_sealed end,
    content_hash = coalesce(x.content_hash, excluded.content_hash),
    reply_to = case when excluded.answer = 'due' and coalesce(x.content_hash = excluded.content_hash, true)
                    then excluded.reply_to else x.reply_to end,
    correlation_id = case when excluded.answer = 'due' and coalesce(x.content_hash = excluded.content_hash, true)
                          then excluded.correlation_id else x.correlation_id end,
    ack_url = x.ack_url or (excluded.ack_url and coalesce(x.content_hash = excluded.content_hash, true)),
    taken = x.taken and (excluded.answer is distinct from 'due' or x.content_hash is distinct from excluded.content_hash),
    answer = case when excluded.answer = 'due' and coalesce(x.content_hash = excluded.content_hash, true)
                  then 'due' else x.answer end
  returning uid, accepted_by, content_hash, sent_by, door, verdict),
want as materialized (
  select w.*, nextval('queue_seq') as q from (
    select i.ord, i.uid, d.d, u.id as mute
    from input i join msg using (uid)
    cross join lateral jsonb_array_elements(i.m->'deliveries') with ordinality d(d, n)
    left join lateral (
      select x.id from mutes x
      where not x.let_go
        and (x.ended_at is null and (x.until is null or x.until > clock_timestamp())
             or exists (select 1 from deliveries h where h.held_by = x.id and h.state = 'held'))
        and i.m->>'door' in ('http', 'rabbitmq') and (d.d->>'prio')::smallint < 2 and (i.m->>'source' || '.') ~ x.matches
        and coalesce((d.d->>'deliver_by')::timestamptz > clock_timestamp(), true)
      order by x.ended_at is null desc, x.until desc nulls first limit 1) u on true
    where msg.accepted_by = $2 and msg.verdict <> 'banned' order by i.ord, d.n) w),
del as (
  insert into deliveries (uid, room, prio, qseq, state, cause, parts, age, expires_at, due_at, deliver_by,
                          awaits_media, held_by)
  select uid, d->>'room', (d->>'prio')::smallint, q, case when mute is null then d->>'state' else 'held' end,
         case when mute is null then 'accepted' else 'its source is muted' end, jsonb_array_length(d->'parts'),
         make_interval(secs => (d->>'age')::float8),
         coalesce((d->>'expires_at')::timestamptz, clock_timestamp() + make_interval(secs => (d->>'age')::float8)),
         case when mute is null then (d->>'due_at')::timestamptz end,
         case when mute is null then (d->>'deliver_by')::timestamptz end,
         (d->>'awaits_media')::boolean, mute
  from want order by uid, d->>'room'
  on conflict (uid, room) do nothing returning id, uid, room),
prt as (
  insert into parts (delivery, n, room, kind, text, text_sealed, picture_url, fingerprint)
  select del.id, p.n, del.room, p.p->>'kind', p.p->>'text', decode(p.p->>'text_sealed', 'base64'),
         p.p->>'picture_url', decode(p.p->>'fingerprint', 'base64')
  from del join want on want.uid = del.uid and want.d->>'room' = del.room,
       jsonb_array_elements(want.d->'parts') with ordinality p(p, n))
select i.ord, msg.accepted_by = $2 as planned,
       msg.content_hash = decode(i.m->>'content_hash', 'base64') as same, msg.sent_by, msg.door,
       msg.verdict = 'banned' as banned
from input i join msg using (uid) order by i.ord";

/// Shared by all who accept of a sender; a ban has it alone, until it is committed. By the first byte of the sender's hash,
/// in its order: whose accept hangs holds up the bans and messages of few others, and alarms have no sender.
const LOCK_SENDERS: &str = "select pg_advisory_xact_lock_shared(8, s) from unnest($1::int4[]) s";

pub(super) const STATEMENTS: &[Statement] = &[("accept", ACCEPT), ("lock_senders", LOCK_SENDERS)];

/// What became of one message of a batch.
#[derive(Debug, Clone)]
pub struct Stored {
    /// This accept (or an earlier try of it) planned its deliveries.
    pub planned: bool,
    /// The stored content is the same.
    pub same: bool,
    /// The name of the key that sent the stored one.
    pub sent_by: Option<String>,
    /// The door that the stored one came in by.
    pub door: String,
    /// The stored one's sender was banned.
    pub banned: bool,
}

impl Store {
    /// Stores a batch; `mark` names this accept, and is the same when a doubtful one is asked again. No uid may stand
    /// in it twice. `senders` are the [locks](super::bans::lock) of those it has, in order. Two round trips: the statement, then its commit, so that what was sent to a server that froze does
    /// not commit after we gave up.
    pub async fn accept(&self, batch: &Value, senders: &[i32], mark: &str) -> Result<Vec<Stored>, StoreError> {
        // Boxed: it lies under all that a door does.
        self.again(|| Box::pin(self.accept_once(batch, senders, mark))).await
    }

    async fn accept_once(&self, batch: &Value, senders: &[i32], mark: &str) -> Result<Vec<Stored>, StoreError> {
        let client = self.client().await?;
        let result = self
            .limit(async {
                let statement = client.prepare_cached(ACCEPT).await?;
                let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&batch, &mark];
                let lock = match senders {
                    [] => None,
                    _ => Some(client.prepare_cached(LOCK_SENDERS).await?),
                };
                let locked = async {
                    match &lock {
                        None => Ok(0),
                        Some(lock) => client.execute(lock, &[&senders]).await,
                    }
                };
                let (begun, locked, rows) =
                    tokio::join!(client.batch_execute("begin"), locked, client.query(&statement, &params));
                let rows = match begun.and(locked).and(rows) {
                    Ok(rows) => rows,
                    Err(error) => {
                        client.batch_execute("rollback").await?;
                        return Err(error.into());
                    }
                };
                client.batch_execute("commit").await?;
                rows.iter()
                    .map(|r| {
                        Ok(Stored {
                            planned: r.try_get("planned")?,
                            same: r.try_get::<_, Option<bool>>("same")?.unwrap_or(false),
                            sent_by: r.try_get("sent_by")?,
                            door: r.try_get("door")?,
                            banned: r.try_get("banned")?,
                        })
                    })
                    .collect()
            })
            .await;
        Self::finish(client, result)
    }
}
