//! Pictures that must be brought before their delivery is begun: whose turn it is, what became of each, and the parts
//! that follow from it. A delivery awaits its pictures until `READY` says otherwise: there is no list beside it that
//! could lose one.
use std::time::Duration;

use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Statement;
use super::connection::{Store, StoreError};

/// A delivery whose pictures are to be brought, leased to the caller.
pub struct Errand {
    /// The delivery's id.
    pub delivery: i64,
    /// Its room.
    pub room: String,
    /// The message's identity.
    pub uid: String,
    /// What people see and type.
    pub short_uid: String,
    /// Its routing key.
    pub source: String,
    /// Its clean text.
    pub body: String,
    /// Sealed JSON list of its media.
    pub media_sealed: Option<Vec<u8>>,
    /// How often this was begun, this time included.
    pub tries: i16,
    /// It is an alarm.
    pub urgent: bool,
    /// Time left until it is too old, or its producer posts by itself.
    pub left: Duration,
}

/// One picture, as it turned out.
pub struct Brought<'a> {
    /// The message.
    pub uid: &'a str,
    /// The channel it was brought to.
    pub channel: &'a str,
    /// Its place, from 1.
    pub n: i16,
    /// SHA-256 of the content, its length and type by its first bytes, as far as it was got.
    pub content: Option<(&'a [u8], i64, &'a str)>,
    /// Where it lies, or why it does not.
    pub result: Result<&'a str, &'a str>,
}

/// What has waited too long is taken so many at a time, and of a room.
const OVERDUE: i64 = 20;

/// Leases deliveries whose pictures nobody brings, for `$4` seconds: the most urgent first, then the longest waiting;
/// of each room only the first `$5`, those included that somebody is busy with, so that one room's pictures leave hands
/// for the others'. A lease further away than we ever give one is left over from a clock that stepped back. What its
/// producer has taken over is the sweep's. Or, with `$6` and `$7`: those that have waited for longer, an alarm for `$6`
/// seconds, others for `$7`, whoever brings their pictures: to make their parts of what there is.
const TAKE: &str = "
with t as materialized (select clock_timestamp() as now),
x as materialized (
  select d.id from t, unnest($1::text[]) r(room)
  cross join lateral (
    select h.id from deliveries h
    where h.room = r.room and h.awaits_media and h.state in ('queued', 'scheduled', 'held')
    order by h.prio desc, h.qseq limit $5) head
  join deliveries d on d.id = head.id
  where d.awaits_media and d.state in ('queued', 'scheduled', 'held')
    and case when $6::float8 is null
             then coalesce(d.deliver_by > t.now, true) and d.expires_at > t.now
                  and (d.media_until is null or d.media_until <= t.now
                       or d.media_until > t.now + make_interval(secs => $4::float8 + 60))
             else d.media_since <= t.now - make_interval(secs => case when d.prio = 2 then $6 else $7::float8 end) end
  order by d.prio desc, d.qseq limit $2 for no key update of d skip locked),
d as (
  update deliveries d set media_until = t.now + make_interval(secs => $4), media_mark = $3, media_tries = d.media_tries + 1
  from x, t where d.id = x.id returning d.id, d.room, d.uid, d.prio, d.qseq, d.media_tries, d.deliver_by, d.expires_at)
select d.id, d.room, d.uid, m.short_uid, m.source, coalesce(m.body, '') as body, m.media_sealed, d.media_tries,
       d.prio = 2 as urgent, extract(epoch from least(d.deliver_by, d.expires_at) - t.now)::float8 as left
from d join messages m using (uid), t order by d.prio desc, d.qseq";

/// Whether anything waits for its pictures in these rooms.
const AWAITED: &str = "
select exists (
  select 1 from unnest($1::text[]) r(room) cross join lateral (
    select 1 from deliveries d where d.room = r.room and d.awaits_media and d.state in ('queued', 'scheduled', 'held')
    limit 1) one)";

/// What a picture that was uploaded once lies at is not overwritten: a second bringer's copy is not used.
const NOTE: &str = "
insert into pictures as p (uid, channel, n, sha256, bytes, media_type, url, missing)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (uid, channel, n) do update set
  at = case when p.url is null then clock_timestamp() else p.at end,
  sha256 = case when p.url is null then excluded.sha256 else p.sha256 end,
  bytes = case when p.url is null then excluded.bytes else p.bytes end,
  media_type = case when p.url is null then excluded.media_type else p.media_type end,
  url = coalesce(p.url, excluded.url),
  missing = case when p.url is null then excluded.missing end
returning p.url";

const KNOWN: &str = "select n, url from pictures where uid = $1 and channel = $2 and url is not null";

/// The parts as they are now known, in place of those that were planned; only by whoever holds the lease, and only of a
/// delivery that still waits: none of its parts was ever claimed. Parts are overwritten in place, since a row
/// cannot be deleted and inserted in one statement.
const READY: &str = "
with d0 as materialized (
  select d.id, d.room from deliveries d
  where d.id = $1 and d.media_mark = $2 and d.awaits_media and d.state in ('queued', 'scheduled', 'held')
  for no key update),
put as (
  insert into parts (delivery, n, room, kind, text, picture_url, fingerprint)
  select d0.id, p.n, d0.room, p.p->>'kind', p.p->>'text', p.p->>'picture_url', decode(p.p->>'fingerprint', 'base64')
  from d0, jsonb_array_elements($3::jsonb) with ordinality p(p, n)
  on conflict (delivery, n) do update set
    kind = excluded.kind, text = excluded.text, picture_url = excluded.picture_url, fingerprint = excluded.fingerprint),
gone as (
  delete from parts p using d0 where p.delivery = d0.id and p.n > jsonb_array_length($3))
update deliveries d set parts = jsonb_array_length($3), awaits_media = false, media_until = null, media_mark = null
from d0 where d.id = d0.id returning d.id";

pub(super) const STATEMENTS: &[Statement] = &[
    ("take_pictures", TAKE),
    ("awaited_pictures", AWAITED),
    ("note_picture", NOTE),
    ("known_pictures", KNOWN),
    ("ready_pictures", READY),
];

fn errand(row: &Row) -> Result<Errand, StoreError> {
    let left: f64 = row.try_get("left")?;
    Ok(Errand {
        delivery: row.try_get("id")?,
        room: row.try_get("room")?,
        uid: row.try_get("uid")?,
        short_uid: row.try_get("short_uid")?,
        source: row.try_get("source")?,
        body: row.try_get("body")?,
        media_sealed: row.try_get("media_sealed")?,
        tries: row.try_get("media_tries")?,
        urgent: row.try_get("urgent")?,
        left: Duration::try_from_secs_f64(left.max(0.0)).unwrap_or_default(),
    })
}

impl Store {
    /// Takes deliveries of these rooms whose pictures are to be brought, at most so many; nobody else does for `lease`.
    /// `of_a_room`: how many of one room may be in hand at once.
    pub async fn take_pictures(
        &self,
        rooms: &[String],
        at_most: i64,
        mark: Uuid,
        lease: Duration,
        of_a_room: i64,
    ) -> Result<Vec<Errand>, StoreError> {
        let (lease, never) = (lease.as_secs_f64(), None::<f64>);
        let rows = self.rows(TAKE, &[&rooms, &at_most, &mark, &lease, &of_a_room, &never, &never]).await?;
        rows.iter().map(errand).collect()
    }

    /// Whether anything waits for its pictures in these rooms.
    pub async fn awaits_pictures(&self, rooms: &[String]) -> Result<bool, StoreError> {
        let rows = self.rows(AWAITED, &[&rooms]).await?;
        rows.first().map_or(Ok(false), |row| Ok(row.try_get(0)?))
    }

    /// Takes deliveries of these rooms that have waited for their pictures for so long, an alarm or another, whoever
    /// brings them; for `lease`.
    pub async fn take_overdue_pictures(
        &self,
        rooms: &[String],
        mark: Uuid,
        urgent: Duration,
        others: Duration,
        lease: Duration,
    ) -> Result<Vec<Errand>, StoreError> {
        let (urgent, others, lease) = (Some(urgent.as_secs_f64()), Some(others.as_secs_f64()), lease.as_secs_f64());
        let rows = self.rows(TAKE, &[&rooms, &OVERDUE, &mark, &lease, &OVERDUE, &urgent, &others]).await?;
        rows.iter().map(errand).collect()
    }

    /// Writes down what became of one picture. The address that it has: the first that it got, whoever brought it.
    pub async fn note_picture(&self, brought: &Brought<'_>) -> Result<Option<String>, StoreError> {
        let (sha256, bytes, media_type) =
            brought.content.map_or((None, None, None), |(hash, length, kind)| (Some(hash), Some(length), Some(kind)));
        let (url, missing) = (brought.result.ok(), brought.result.err());
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [&brought.uid, &brought.channel, &brought.n, &sha256, &bytes, &media_type, &url, &missing];
        let rows = self.rows(NOTE, &params).await?;
        rows.first().map_or(Err(StoreError::Answer("a row")), |row| Ok(row.try_get(0)?))
    }

    /// The pictures of a message that lie with a channel's provider already, by their place.
    pub async fn known_pictures(&self, uid: &str, channel: &str) -> Result<Vec<(i16, String)>, StoreError> {
        let rows = self.rows(KNOWN, &[&uid, &channel]).await?;
        rows.iter().map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).collect()
    }

    /// Ends an errand with the parts as they are now known. Whether the delivery became ready by this.
    pub async fn pictures_ready(&self, delivery: i64, mark: Uuid, parts: &Value) -> Result<bool, StoreError> {
        Ok(!self.rows(READY, &[&delivery, &mark, &parts]).await?.is_empty())
    }
}
