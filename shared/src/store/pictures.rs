//! Pictures that must be brought before their message is begun: whose turn it is, what became of each, and the parts
//! that follow from it.
use std::time::Duration;

use serde_json::Value;

use super::Statement;
use super::connection::{Store, StoreError};

/// A message whose pictures are to be brought, leased to the caller.
pub struct Errand {
    /// Identity.
    pub uid: String,
    /// What people see and type.
    pub short_uid: String,
    /// Its routing key.
    pub source: String,
    /// Its clean text.
    pub body: String,
    /// Sealed JSON list of its media.
    pub media_sealed: Option<Vec<u8>>,
    /// How often this was begun, this time included; also the mark of this lease.
    pub tries: i16,
    /// The rooms whose deliveries wait for it.
    pub rooms: Vec<String>,
    /// Time left until its producer posts by itself, if it does.
    pub deliver_in: Option<Duration>,
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

/// Leases messages whose pictures nobody brings, for `$3` seconds, the longest waiting first: those with a delivery that
/// waits in one of these rooms, and those for which nothing waits any more (they expired or were withdrawn), so that
/// they are struck off the list. Whoever waits here for a row that another has just leased finds its `media_due` changed.
const TAKE: &str = "
with due as materialized (
  select uid, media_due from messages where media_due <= (select clock_timestamp()) order by media_due limit 200),
x as materialized (
  select m.uid from due join messages m on m.uid = due.uid and m.media_due = due.media_due
  cross join lateral (
    select bool_or(d.room = any($1)) as here from deliveries d
    where d.uid = due.uid and d.awaits_media and d.state in ('queued', 'scheduled', 'held')) waiting
  where coalesce(waiting.here, true)
  order by due.media_due limit $2 for no key update of m skip locked)
update messages m set media_due = clock_timestamp() + make_interval(secs => $3), media_tries = m.media_tries + 1
from x where m.uid = x.uid
returning m.uid, m.short_uid, m.source, coalesce(m.body, '') as body, m.media_sealed, m.media_tries,
  array(select d.room from deliveries d where d.uid = m.uid and d.awaits_media
        and d.state in ('queued', 'scheduled', 'held') order by d.id) as rooms,
  (select extract(epoch from min(d.deliver_by) - clock_timestamp())::float8 from deliveries d
   where d.uid = m.uid and d.awaits_media and d.state = 'queued') as deliver_in";

/// Whether anything is to be brought for these rooms now.
const DUE: &str = "
with due as materialized (
  select uid from messages where media_due <= (select clock_timestamp()) order by media_due limit 200)
select exists (select 1 from due cross join lateral (
  select 1 from deliveries d where d.uid = due.uid and d.awaits_media and d.room = any($1) limit 1) waiting)";

/// What a picture that was uploaded once lies at is not overwritten: a second bringer's copy is not used.
const NOTE: &str = "
insert into pictures as p (uid, channel, n, sha256, bytes, media_type, url, missing)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (uid, channel, n) do update set
  at = clock_timestamp(), sha256 = excluded.sha256, bytes = excluded.bytes, media_type = excluded.media_type,
  url = excluded.url, missing = excluded.missing
where p.url is null";

const KNOWN: &str = "select n, url from pictures where uid = $1 and channel = $2 and url is not null";

/// The parts as they are now known, in place of those that were planned; only by whoever holds the lease, and only of
/// deliveries that still wait: none of their parts was ever claimed. Parts are overwritten in place, since a row
/// cannot be deleted and inserted in one statement.
const READY: &str = "
with m as materialized (
  update messages set media_due = null where uid = $1 and media_tries = $2 and media_due is not null returning uid),
d0 as materialized (
  select d.id, d.room from m, deliveries d
  where d.uid = m.uid and d.awaits_media and d.state in ('queued', 'scheduled', 'held') order by d.id for no key update of d),
want as materialized (
  select d0.id, d0.room, w->'parts' as parts from d0 join jsonb_array_elements($3::jsonb) w on w->>'room' = d0.room),
put as (
  insert into parts (delivery, n, room, kind, text, picture_url, fingerprint)
  select want.id, p.n, want.room, p.p->>'kind', p.p->>'text', p.p->>'picture_url', decode(p.p->>'fingerprint', 'base64')
  from want, jsonb_array_elements(want.parts) with ordinality p(p, n)
  on conflict (delivery, n) do update set
    kind = excluded.kind, text = excluded.text, picture_url = excluded.picture_url, fingerprint = excluded.fingerprint),
gone as (
  delete from parts p using want where p.delivery = want.id and p.n > jsonb_array_length(want.parts))
update deliveries d set parts = jsonb_array_length(want.parts), awaits_media = false
from want where d.id = want.id returning d.id";

pub(super) const STATEMENTS: &[Statement] = &[
    ("take_pictures", TAKE),
    ("due_pictures", DUE),
    ("note_picture", NOTE),
    ("known_pictures", KNOWN),
    ("ready_pictures", READY),
];

impl Store {
    /// Takes messages whose pictures are to be brought for these rooms; nobody else does for `lease`.
    pub async fn take_pictures(
        &self,
        rooms: &[String],
        at_most: i64,
        lease: Duration,
    ) -> Result<Vec<Errand>, StoreError> {
        let rows = self.rows(TAKE, &[&rooms, &at_most, &lease.as_secs_f64()]).await?;
        rows.iter()
            .map(|r| {
                let left: Option<f64> = r.try_get("deliver_in")?;
                Ok(Errand {
                    uid: r.try_get("uid")?,
                    short_uid: r.try_get("short_uid")?,
                    source: r.try_get("source")?,
                    body: r.try_get("body")?,
                    media_sealed: r.try_get("media_sealed")?,
                    tries: r.try_get("media_tries")?,
                    rooms: r.try_get("rooms")?,
                    deliver_in: left.map(|s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or_default()),
                })
            })
            .collect()
    }

    /// Whether pictures are to be brought for these rooms now.
    pub async fn pictures_due(&self, rooms: &[String]) -> Result<bool, StoreError> {
        let rows = self.rows(DUE, &[&rooms]).await?;
        rows.first().map_or(Ok(false), |row| Ok(row.try_get(0)?))
    }

    /// Writes down what became of one picture.
    pub async fn note_picture(&self, brought: &Brought<'_>) -> Result<(), StoreError> {
        let (sha256, bytes, media_type) =
            brought.content.map_or((None, None, None), |(hash, length, kind)| (Some(hash), Some(length), Some(kind)));
        let (url, missing) = (brought.result.ok(), brought.result.err());
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [&brought.uid, &brought.channel, &brought.n, &sha256, &bytes, &media_type, &url, &missing];
        self.rows(NOTE, &params).await.map(drop)
    }

    /// The pictures of a message that lie with a channel's provider already, by their place.
    pub async fn known_pictures(&self, uid: &str, channel: &str) -> Result<Vec<(i16, String)>, StoreError> {
        let rows = self.rows(KNOWN, &[&uid, &channel]).await?;
        rows.iter().map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).collect()
    }

    /// Ends an errand: `deliveries` is a list of `{"room", "parts"}`. Whether anything became ready.
    pub async fn pictures_ready(&self, uid: &str, tries: i16, deliveries: &Value) -> Result<bool, StoreError> {
        Ok(!self.rows(READY, &[&uid, &tries, &deliveries]).await?.is_empty())
    }
}
