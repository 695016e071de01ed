//! Sending again what did not reach its room. A replay shares the locks of its senders, as accept does: a ban that is
//! under way is waited for and seen, and one that comes later finds what was replayed.
use super::Statement;
use super::commands::Turn;
use super::connection::{Store, StoreError};

/// In their order, before any delivery is locked, as accepts and bans do.
const LOCK_SENDERS: &str = "
select pg_advisory_xact_lock_shared(8, s.lock) from (
  select distinct get_byte(m.sender_hash, 0) as lock from messages m
  where m.uid = any($1::text[]) and coalesce(octet_length(m.sender_hash), 0) > 0 order by 1 offset 0) s";

/// Not of a sender who is banned, nor of one who was erased: nothing is left to post. One that ended before its pictures
/// were brought has them brought now; whoever still brings them for it is not heard. Locks deliveries in the order of
/// their keys, then parts; they enter the queue in the order given.
const REPLAY: &str = "
with wanted as materialized (select w.uid, w.ord from unnest($1::text[]) with ordinality w(uid, ord)),
d0 as materialized (
  select d.id, wanted.ord from wanted join messages m using (uid) join deliveries d using (uid)
  where d.state in ('failed', 'expired', 'withdrawn', 'unconfirmed')
    and (m.sender_hash is null or m.sender_sealed is not null)
    and not exists (select 1 from bans b where b.sender_hash = m.sender_hash
                      and b.lifted_at is null and (b.until is null or b.until > clock_timestamp()))
  order by d.id for no key update of d),
old as materialized (
  select p.delivery, p.n from parts p join d0 on p.delivery = d0.id
  where p.state in ('failed', 'unconfirmed') for no key update of p),
p as (
  update parts p set state = 'waiting', failures = 0 from old
  where p.delivery = old.delivery and p.n = old.n returning p.delivery),
n as materialized (
  select id, nextval('queue_seq') as qseq from (select id from d0 order by ord, id offset 0) o)
update deliveries d set state = 'queued', cause = 'replay', qseq = n.qseq, begun = false, unsure = 0,
  set_asides = 0, deliver_by = null, told = false, alarm = null, media_until = null, media_mark = null, media_tries = 0,
  media_since = clock_timestamp(),
  expires_at = clock_timestamp() + d.age
from n where d.id = n.id and (select count(*) from p) >= 0 returning d.uid";

/// Room by room, as the index has it.
const FAILED: &str = "
select f.uid from rooms r cross join lateral (
  select d.uid, d.qseq from deliveries d
  where d.room = r.name and d.state in ('failed', 'unconfirmed') and d.state = 'failed' order by d.id limit 10000) f
group by f.uid order by min(f.qseq)";

pub(super) const STATEMENTS: &[Statement] =
    &[("lock_senders_of", LOCK_SENDERS), ("replay", REPLAY), ("failed", FAILED)];

impl Store {
    /// Sends again what failed, expired, was withdrawn or is unconfirmed, as new in order and with its age anew; what
    /// was seen in the room is not posted again, and a part still in the air is judged when its time is over, not
    /// before (`blocked_until` stays). Returns how many deliveries.
    pub async fn replay(&self, uid: &str) -> Result<u64, StoreError> {
        let uids = [uid.to_owned()];
        self.again(|| self.replay_once(&uids)).await
    }

    async fn replay_once(&self, uids: &[String]) -> Result<u64, StoreError> {
        let turn = self.begin().await?;
        let replayed = async {
            turn.lock_senders(uids).await?;
            turn.replay(uids).await
        };
        let replayed = replayed.await;
        Ok(turn.end(replayed).await?.len() as u64)
    }

    /// The messages that failed in some room, in their old order; of each room the first ten thousand.
    pub async fn failed(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(FAILED, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get("uid")?)).collect()
    }
}

impl Turn {
    /// Shares the locks of those who sent these messages until the turn ends: before anything of them is replayed.
    pub async fn lock_senders(&self, uids: &[String]) -> Result<(), StoreError> {
        self.rows(LOCK_SENDERS, &[&uids]).await.map(drop)
    }

    /// As [`Store::replay`], within this turn and for many; the uid of each delivery. Their senders are to be
    /// [locked](Turn::lock_senders) before.
    pub async fn replay(&self, uids: &[String]) -> Result<Vec<String>, StoreError> {
        self.rows(REPLAY, &[&uids]).await?.iter().map(|row| Ok(row.try_get("uid")?)).collect()
    }

    /// As [`Store::failed`], within this turn.
    pub async fn failed(&self) -> Result<Vec<String>, StoreError> {
        self.rows(FAILED, &[]).await?.iter().map(|row| Ok(row.try_get("uid")?)).collect()
    }
}
