//! What is still to be published: calls of ours and lines that we heard. Triggers fill it (see the migration), so that
//! no statement of a lane knows of it; only what is here empties it.
use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::Statement;
use super::connection::{Store, StoreError};

/// A row in our hands: no other publisher takes it before the moment, which is also our mark on it.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    id: i64,
    due: Timestamp,
    was_due: Timestamp,
    /// How often it was published and not confirmed.
    pub tries: i32,
}

/// What a row is about.
pub enum Subject {
    /// A post, or an upload of a picture.
    Call(Call),
    /// A line said in a room.
    Line {
        /// GroupMe's id of its group.
        group: String,
        /// GroupMe's id of the line.
        id: String,
        /// Sealed JSON as it came.
        payload_sealed: Vec<u8>,
    },
    /// Forgotten or erased meanwhile.
    Gone,
}

/// A call of ours.
pub struct Call {
    /// `post` or `upload`.
    pub operation: String,
    /// The message's uid as its producer wrote it.
    pub uid: Option<String>,
    /// The message's source: a routing key.
    pub source: Option<String>,
    /// The room's name; of an upload where its message has one only.
    pub room: Option<String>,
    /// HTTP status; `None` where there was no answer.
    pub status: Option<i16>,
    /// What was posted.
    pub text: Option<String>,
    /// The picture that was posted.
    pub picture_url: Option<String>,
    /// Where the uploaded picture lies at its provider.
    pub uploaded_url: Option<String>,
    /// When.
    pub at: Timestamp,
}

const SWITCH: &str = "
with off as (delete from record_publishing where $1::float8 is null)
insert into record_publishing as p (wait) select make_interval(secs => $1::float8) where $1::float8 is not null
on conflict (one) do update set wait = excluded.wait where p.wait <> excluded.wait";

/// Takes rows that no other publisher has, those first that are due for the longest time: what was put off goes behind
/// what came meanwhile, and keeps nothing from its turn. Who dies lets them go when the lease is over. Locks the outbox
/// only, and waits for nobody.
const LEASE: &str = "
with due as materialized (
  select id, due from record_outbox where due <= (select clock_timestamp()) order by due, id limit $1
  for no key update skip locked)
update record_outbox o set due = clock_timestamp() + make_interval(secs => $2) from due where o.id = due.id
returning o.id, o.due, due.due, o.tries";

/// After the lease, with a snapshot younger than it: what a call became before is seen, what it becomes later changes
/// `due`, and the row stays. In one statement a change that was committed between snapshot and lock would be lost.
const READ: &str = "
select i.n, c.operation, m.given_uid, c.uid, m.source, c.status, c.at, g.group_id, g.line_id, g.payload_sealed,
       coalesce(c.room, (select min(d.room) from deliveries d where d.uid = c.uid having count(*) = 1)) as room,
       coalesce(c.request->>'text', case when p.text_sealed is null then p.text end) as text, coalesce(c.request->>'picture_url', p.picture_url) as picture_url,
       (select x.url from pictures x where x.uid = c.uid and x.channel = c.channel and c.operation = 'upload'
                                       and x.n::text = c.request->>'picture') as uploaded_url
from unnest($1::bigint[]) with ordinality i(id, n)
join record_outbox o on o.id = i.id
left join api_calls c on c.id = o.call
left join messages m on m.uid = c.uid
left join parts p on p.delivery = c.delivery and p.n = c.part
left join groupme_callbacks g on g.group_id = o.group_id and g.line_id = o.line_id
order by i.n";

/// Which of these fingerprints are of private text, whatever became of it.
const PRIVATE: &str = "
select distinct p.fingerprint from parts p where p.fingerprint = any($1::bytea[]) and p.text_sealed is not null";

/// Whoever else has the row now, or has made it due anew, keeps it.
const DONE: &str = "
delete from record_outbox o using unnest($1::bigint[], $2::timestamptz[]) h(id, due)
where o.id = h.id and o.due = h.due";

const PUT_OFF: &str = "
update record_outbox o set due = clock_timestamp() + make_interval(secs => h.wait), tries = o.tries + 1
from unnest($1::bigint[], $2::timestamptz[], $3::float8[]) h(id, due, wait) where o.id = h.id and o.due = h.due";

const PUT_BACK: &str = "
update record_outbox o set due = h.was_due
from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) h(id, due, was_due)
where o.id = h.id and o.due = h.due";

pub(super) const STATEMENTS: &[Statement] = &[
    ("switch_publishing", SWITCH),
    ("lease_outbox", LEASE),
    ("read_outbox", READ),
    ("private_lines", PRIVATE),
    ("outbox_done", DONE),
    ("outbox_put_off", PUT_OFF),
    ("outbox_put_back", PUT_BACK),
];

impl Store {
    /// Switches the outbox on or off. While it is on, a call of unknown outcome is kept back for `wait`.
    pub async fn switch_publishing(&self, wait: Option<Duration>) -> Result<(), StoreError> {
        self.rows(SWITCH, &[&wait.map(|wait| wait.as_secs_f64())]).await.map(drop)
    }

    /// Takes rows to publish, at most so many, in the order in which they became due.
    pub async fn lease_outbox(&self, at_most: i64, lease: Duration) -> Result<Vec<(Held, Subject)>, StoreError> {
        let mut held: Vec<Held> = Vec::new();
        for row in self.rows(LEASE, &[&at_most, &lease.as_secs_f64()]).await? {
            held.push(Held {
                id: row.try_get(0)?,
                due: row.try_get(1)?,
                was_due: row.try_get(2)?,
                tries: row.try_get(3)?,
            });
        }
        if held.is_empty() {
            return Ok(Vec::new());
        }
        held.sort_by_key(|held| (held.was_due, held.id));
        let ids: Vec<i64> = held.iter().map(|held| held.id).collect();
        let mut subjects = Vec::with_capacity(held.len());
        for row in self.rows(READ, &[&ids]).await? {
            let place: i64 = row.try_get("n")?;
            if let Some(held) = usize::try_from(place).ok().and_then(|place| held.get(place - 1)) {
                subjects.push((*held, subject(&row)?));
            }
        }
        Ok(subjects)
    }

    /// Which of these fingerprints are of text that only a room may read.
    pub async fn private_lines(&self, fingerprints: &[Vec<u8>]) -> Result<HashSet<Vec<u8>>, StoreError> {
        if fingerprints.is_empty() {
            return Ok(HashSet::new());
        }
        self.rows(PRIVATE, &[&fingerprints]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Deletes rows that were published, or are about nothing any more.
    pub async fn outbox_done(&self, held: &[Held]) -> Result<(), StoreError> {
        let (ids, marks) = split(held);
        self.rows(DONE, &[&ids, &marks]).await.map(drop)
    }

    /// Lets rows go that were not confirmed, or that cannot be published as they are; each is due again after so long.
    pub async fn outbox_put_off(&self, held: &[(Held, Duration)]) -> Result<(), StoreError> {
        let (held, waits): (Vec<Held>, Vec<f64>) = held.iter().map(|(held, wait)| (*held, wait.as_secs_f64())).unzip();
        let (ids, marks) = split(&held);
        self.rows(PUT_OFF, &[&ids, &marks, &waits]).await.map(drop)
    }

    /// Lets rows go that were never sent: they are due as they were before, and keep their turn.
    pub async fn outbox_put_back(&self, held: &[Held]) -> Result<(), StoreError> {
        let (ids, marks) = split(held);
        let were_due: Vec<Timestamp> = held.iter().map(|held| held.was_due).collect();
        self.rows(PUT_BACK, &[&ids, &marks, &were_due]).await.map(drop)
    }
}

fn split(held: &[Held]) -> (Vec<i64>, Vec<Timestamp>) {
    held.iter().map(|held| (held.id, held.due)).unzip()
}

fn subject(row: &Row) -> Result<Subject, StoreError> {
    if let Some(operation) = row.try_get("operation")? {
        let given: Option<String> = row.try_get("given_uid")?;
        return Ok(Subject::Call(Call {
            operation,
            uid: given.or(row.try_get("uid")?),
            source: row.try_get("source")?,
            room: row.try_get("room")?,
            status: row.try_get("status")?,
            text: row.try_get("text")?,
            picture_url: row.try_get("picture_url")?,
            uploaded_url: row.try_get("uploaded_url")?,
            at: row.try_get("at")?,
        }));
    }
    Ok(match (row.try_get("line_id")?, row.try_get("payload_sealed")?) {
        (Some(id), Some(payload_sealed)) => Subject::Line { group: row.try_get("group_id")?, id, payload_sealed },
        _ => Subject::Gone,
    })
}
