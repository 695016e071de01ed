//! Erasing a person: what their messages say and who they are goes; that there were messages, from where, when, and what
//! became of them, stays. By pages of one sender's messages, each statement whole by itself: who dies has erased less,
//! and whoever begins anew goes over all of them once more, since a call that ended late may have written again.
use std::time::Duration;

use jiff::Timestamp;

use super::Statement;
use super::connection::{Store, StoreError};

/// A sender's messages behind one of them, in order of time.
const PAGE: &str = "
select uid, accepted_at from messages
where sender_hash = $1 and accepted_at >= $2 and (accepted_at, uid) > ($2, $3)
order by accepted_at, uid limit 500";

/// Also what is being sent: the rest of it is not. By hand, so that no producer takes over what is not to be posted.
/// Deliveries in the order of their keys.
const WITHDRAW: &str = "
with x as (
  select id from deliveries where uid = any($1) and state in ('queued', 'sending', 'scheduled', 'held')
  order by id for no key update)
update deliveries d set state = 'withdrawn', cause = 'withdrawn by hand', deliver_by = null
from x where d.id = x.id returning d.id";

/// What is finished. Not so what may be posted at this moment: its call is still to be written down; nor what was posted
/// within `$2` seconds in a room that confirms: its line would come, find no part, and stay. These are left, and counted.
/// Locks messages, deliveries, parts, each in the order of their keys, as accept and claim do; a part in the air is judged
/// behind those locks. Rows in which nothing is left are not written again.
const ERASE: &str = "
with m as materialized (select uid from messages where uid = any($1) order by uid for no key update),
d as materialized (
  select d.id, d.uid, d.state in ('queued', 'sending', 'scheduled', 'held') as open from deliveries d
  where d.uid in (select uid from m) and (select count(*) from m) >= 0 order by d.id for no key update of d),
p as materialized (
  select p.delivery, p.n, p.room, p.confirmed_by, d.uid,
         p.state = 'posting' or p.state = 'sent' and p.claimed_at > clock_timestamp() - make_interval(secs => $2)
           and exists (select 1 from rooms r where r.name = p.room and r.confirm) as open
  from parts p join d on d.id = p.delivery
  where (select count(*) from d) >= 0 order by p.delivery, p.n for no key update of p),
busy as materialized (select uid from d where open union select uid from p where open),
ended as materialized (select m.uid from m where not exists (select 1 from busy b where b.uid = m.uid)),
part as (
  update parts x set text = '', text_sealed = null, picture_url = null, fingerprint = ''
  from p join ended using (uid)
  where x.delivery = p.delivery and x.n = p.n
    and (x.text <> '' or x.text_sealed is not null or x.picture_url is not null or x.fingerprint <> '')
  returning 1),
line as (
  update groupme_callbacks g set payload_sealed = null
  from p join ended using (uid) join rooms r on r.name = p.room
  where g.group_id = r.group_id and g.line_id = p.confirmed_by and g.payload_sealed is not null
  returning 1),
picture as (
  update pictures x set sha256 = null, url = null, missing = coalesce(x.missing, 'erased')
  from ended where x.uid = ended.uid and (x.sha256 is not null or x.url is not null)
  returning 1),
call as (
  update api_calls x set request = null, response = null
  from ended where x.uid = ended.uid and coalesce(x.request, x.response) is not null
  returning 1),
message as (
  update messages x set sender_sealed = null, body = null, body_sealed = null, media_sealed = null
  from ended where x.uid = ended.uid
    and (x.sender_sealed is not null or x.body is not null or x.body_sealed is not null or x.media_sealed is not null)
  returning 1)
select (select count(*) from message) as messages, (select count(*) from part) as parts,
       (select count(*) from call) as calls, (select count(*) from line) as lines,
       (select count(*) from picture) as pictures, (select count(*) from busy) as busy";

/// A ban goes on, and whoever asks sees that it is of somebody who was erased.
const ERASE_BANS: &str = "
with x as (select id from bans where sender_hash = $1 order by id for no key update),
gone as (
  update bans b set sender_sealed = null, reason_sealed = null from x
  where b.id = x.id and (b.sender_sealed is not null or b.reason_sealed is not null) returning 1)
select (select count(*) from x) as bans, (select count(*) from gone) as cleared";

pub(super) const STATEMENTS: &[Statement] =
    &[("erase_page", PAGE), ("erase_withdraw", WITHDRAW), ("erase", ERASE), ("erase_bans", ERASE_BANS)];

/// How many rows were cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Messages.
    pub messages: i64,
    /// Parts of them.
    pub parts: i64,
    /// Calls made for them: what was said and answered.
    pub calls: i64,
    /// Lines in the rooms that showed them.
    pub lines: i64,
    /// Pictures: where they lie, and their hashes.
    pub pictures: i64,
    /// Messages that were left, since they may be posted at this moment, or were posted just now.
    pub busy: i64,
}

/// Where a page begins: behind the message of this time and identity.
pub type Behind = (Timestamp, String);

impl Store {
    /// The next 500 messages of a sender at most.
    pub async fn messages_of(&self, sender_hash: &[u8], behind: &Behind) -> Result<Vec<Behind>, StoreError> {
        let rows = self.rows(PAGE, &[&sender_hash, &behind.0, &behind.1]).await?;
        rows.iter().map(|row| Ok((row.try_get("accepted_at")?, row.try_get("uid")?))).collect()
    }

    /// Withdraws what of these messages is not posted: how many deliveries.
    pub async fn withdraw_all(&self, uids: &[&str]) -> Result<usize, StoreError> {
        Ok(self.rows(WITHDRAW, &[&uids]).await?.len())
    }

    /// Clears those of these messages that are finished. `heard_within`: how long a callback may take.
    pub async fn erase(&self, uids: &[&str], heard_within: Duration) -> Result<Cleared, StoreError> {
        let rows = self.rows(ERASE, &[&uids, &heard_within.as_secs_f64()]).await?;
        let row = rows.first().ok_or(StoreError::Answer("a row"))?;
        Ok(Cleared {
            messages: row.try_get("messages")?,
            parts: row.try_get("parts")?,
            calls: row.try_get("calls")?,
            lines: row.try_get("lines")?,
            pictures: row.try_get("pictures")?,
            busy: row.try_get("busy")?,
        })
    }

    /// Clears who is banned and why, of all bans of a sender: how many bans there are, and how many were cleared.
    pub async fn erase_bans(&self, sender_hash: &[u8]) -> Result<(i64, i64), StoreError> {
        let rows = self.rows(ERASE_BANS, &[&sender_hash]).await?;
        let row = rows.first().ok_or(StoreError::Answer("a row"))?;
        Ok((row.try_get("bans")?, row.try_get("cleared")?))
    }
}
