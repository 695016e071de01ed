//! Who is banned. A ban takes the lock of its sender alone, so that no accept is under way that has not seen it; and it
//! withdraws what those before it left in the queue.
use jiff::Timestamp;

use super::Statement;
use super::commands::Turn;
use super::connection::StoreError;

/// The lock of a sender: what accepts share and a ban has alone.
#[must_use]
pub fn lock(sender_hash: &[u8]) -> i32 {
    sender_hash.first().copied().map_or(0, i32::from)
}

const LOCK_SENDER: &str = "select pg_advisory_xact_lock(8, $1::int4)";

/// Who sent a message, if somebody did.
const SENDER: &str = "select sender_hash, sender_sealed from messages where uid = $1";

/// What ended by itself makes room for the next.
const CLOSE: &str = "
update bans set lifted_at = until where sender_hash = $1 and lifted_at is null and until <= clock_timestamp()";

/// Banning again changes only the term.
const BAN: &str = "
with again as (
  update bans set until = clock_timestamp() + make_interval(secs => $5::float8)
  where sender_hash = $1 and lifted_at is null returning id, until, true as again),
fresh as (
  insert into bans (sender_hash, sender_sealed, banned_by_sealed, reason_sealed, until)
  select $1, $2::bytea, $3::bytea, $4::bytea, clock_timestamp() + make_interval(secs => $5)
  where not exists (select 1 from again) returning id, until, false as again)
select id, until, again from again union all select id, until, again from fresh";

/// Nothing of it is in the room, as far as is known: also what was claimed once and never posted. What is half posted is
/// finished. A part in the air is judged when its time is over. In the order of their keys, as everywhere.
const WITHDRAW_BANNED: &str = "
with x as (
  select d.id from deliveries d join messages m using (uid)
  where m.sender_hash = $1 and d.state in ('queued', 'sending', 'scheduled', 'held') and d.sent + d.unsure = 0
  order by d.id for no key update of d)
update deliveries d set state = 'withdrawn', cause = 'its sender is banned', deliver_by = null
from x where d.id = x.id returning d.id";

const BAN_OF: &str = "
select sender_hash from bans where id = $1 and lifted_at is null and (until is null or until > clock_timestamp())";

const IS_BANNED: &str = "
select 1 from bans where sender_hash = $1 and lifted_at is null and (until is null or until > clock_timestamp())";

const UNBAN: &str = "
update bans set lifted_at = clock_timestamp(), lifted_by_sealed = $2
where sender_hash = $1 and lifted_at is null and (until is null or until > clock_timestamp())
returning id, sender_hash, sender_sealed, until, banned_at, reason_sealed, banned_by_sealed";

const BANS: &str = "
select id, sender_hash, sender_sealed, until, banned_at, reason_sealed, banned_by_sealed, count(*) over () as total
from bans where lifted_at is null and (until is null or until > clock_timestamp())
order by id desc limit $1 offset $2";

pub(super) const STATEMENTS: &[Statement] = &[
    ("lock_sender", LOCK_SENDER),
    ("sender", SENDER),
    ("close_bans", CLOSE),
    ("ban", BAN),
    ("withdraw_banned", WITHDRAW_BANNED),
    ("ban_of", BAN_OF),
    ("is_banned", IS_BANNED),
    ("unban", UNBAN),
    ("bans", BANS),
];

/// A ban to be.
pub struct NewBan<'a> {
    /// Keyed hash of the sender's address.
    pub sender_hash: &'a [u8],
    /// Its address, sealed; `None` where nobody knows it any more.
    pub sender_sealed: Option<&'a [u8]>,
    /// Who bans, sealed.
    pub by_sealed: &'a [u8],
    /// Why, sealed.
    pub reason_sealed: Option<&'a [u8]>,
    /// For how long, seconds; `None`: until it is lifted.
    pub term: Option<f64>,
}

/// What banning did.
pub struct Banned {
    /// Its number.
    pub id: i64,
    /// Until when.
    pub until: Option<Timestamp>,
    /// There was one already, and only its term is another.
    pub again: bool,
    /// How many deliveries were withdrawn.
    pub withdrawn: usize,
    /// Of one of them a part is being posted at this moment.
    pub in_the_air: bool,
}

/// A ban that holds, or did until it was just lifted.
pub struct Ban {
    /// Its number.
    pub id: i64,
    /// Keyed hash of the sender's address.
    pub sender_hash: Vec<u8>,
    /// The address, sealed; `None` once erased.
    pub sender_sealed: Option<Vec<u8>>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Since when.
    pub banned_at: Timestamp,
    /// Why, sealed.
    pub reason_sealed: Option<Vec<u8>>,
    /// Who banned, sealed.
    pub by_sealed: Vec<u8>,
}

fn ban(row: &tokio_postgres::Row) -> Result<Ban, StoreError> {
    Ok(Ban {
        id: row.try_get("id")?,
        sender_hash: row.try_get("sender_hash")?,
        sender_sealed: row.try_get("sender_sealed")?,
        until: row.try_get("until")?,
        banned_at: row.try_get("banned_at")?,
        reason_sealed: row.try_get("reason_sealed")?,
        by_sealed: row.try_get("banned_by_sealed")?,
    })
}

impl Turn {
    /// The hash and the sealed form of who sent a message; `None` where nobody did.
    pub async fn sender(&self, uid: &str) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>, StoreError> {
        let rows = self.rows(SENDER, &[&uid]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let hash: Option<Vec<u8>> = row.try_get(0)?;
        Ok(hash.zip(Some(row.try_get(1)?)))
    }

    /// Bans a sender, and withdraws what of it waits.
    pub async fn ban(&self, new: &NewBan<'_>) -> Result<Banned, StoreError> {
        self.rows(LOCK_SENDER, &[&lock(new.sender_hash)]).await?;
        self.rows(CLOSE, &[&new.sender_hash]).await?;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&new.sender_hash, &new.sender_sealed, &new.by_sealed, &new.reason_sealed, &new.term];
        let rows = self.rows(BAN, &params).await?;
        let row = rows.first().ok_or(StoreError::Answer("a ban"))?;
        let withdrawn = self.rows(WITHDRAW_BANNED, &[&new.sender_hash]).await?;
        let withdrawn = withdrawn.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        Ok(Banned {
            id: row.try_get("id")?,
            until: row.try_get("until")?,
            again: row.try_get("again")?,
            in_the_air: self.in_the_air(&withdrawn).await?,
            withdrawn: withdrawn.len(),
        })
    }

    /// The sender of the ban of this number, if that holds.
    pub async fn ban_of(&self, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.rows(BAN_OF, &[&id]).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }

    /// Whether a sender is banned.
    pub async fn is_banned(&self, sender_hash: &[u8]) -> Result<bool, StoreError> {
        Ok(!self.rows(IS_BANNED, &[&sender_hash]).await?.is_empty())
    }

    /// Lifts a sender's ban; `None` where there is none.
    pub async fn unban(&self, sender_hash: &[u8], by_sealed: &[u8]) -> Result<Option<Ban>, StoreError> {
        self.rows(LOCK_SENDER, &[&lock(sender_hash)]).await?;
        let rows = self.rows(UNBAN, &[&sender_hash, &by_sealed]).await?;
        rows.first().map(ban).transpose()
    }

    /// Bans that hold, the newest first, so many after so many; and how many there are in all.
    pub async fn bans(&self, limit: i64, offset: i64) -> Result<(Vec<Ban>, i64), StoreError> {
        let rows = self.rows(BANS, &[&limit, &offset]).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        Ok((rows.iter().map(ban).collect::<Result<_, _>>()?, total))
    }
}
