//! Producers that wait for an answer: who is due, and that it was given.
use super::Statement;
use super::connection::{Store, StoreError};

/// A message whose deliveries are all finished and whose producer waits.
pub struct Due {
    /// Identity.
    pub uid: String,
    /// What the producer calls it.
    pub given_uid: String,
    /// `None` if every part was posted, or its sender is banned; else why it never will be.
    pub failure: Option<String>,
    /// Its sender is banned: for its producer all is done, and nothing was posted.
    pub banned: bool,
    /// The queue to reply to, on the default exchange.
    pub reply_to: Option<String>,
    /// To be repeated in the reply.
    pub correlation_id: Option<String>,
    /// `ACK_URL` is to be called.
    pub ack_url: bool,
    /// So often it was called in vain before, perhaps by one whose time was over.
    pub failed_acks: i64,
}

/// A message of which something is posted and something is not, and whose producer waits.
pub struct Begun {
    /// Identity.
    pub uid: String,
    /// What the producer calls it.
    pub given_uid: String,
    /// The queue to reply to, on the default exchange.
    pub reply_to: String,
    /// To be repeated in the reply.
    pub correlation_id: Option<String>,
}

/// A call that is no post: `ack`, `reply`, `read`.
pub struct CallNote<'a> {
    /// The message's identity.
    pub uid: Option<&'a str>,
    /// The room.
    pub room: Option<&'a str>,
    /// Which provider, or `amqp`, `http`.
    pub channel: &'a str,
    /// What was asked of it.
    pub operation: &'a str,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Whether it did what it should.
    pub ok: bool,
    /// How long it took.
    pub latency: std::time::Duration,
    /// What was said, without secrets.
    pub request: &'a serde_json::Value,
    /// What went wrong, without secrets.
    pub error: Option<&'a str>,
}

/// Leases the answer to the caller for ten seconds (the Twilio front end waits for fifteen): two workers that finish two
/// deliveries of one message do not both answer, and a worker that dies leaves it to the next. Finished means that
/// nothing more will be posted, or that its source is muted: then it is held for people who said so, and its producer must
/// not post it.
const TAKE_DUE: &str = "
with x as materialized (
  select m.uid from messages m
  where (m.answer = 'due' or m.answer = 'giving' and m.answer_until < clock_timestamp())
    and ($1::text[] is null or m.uid = any($1))
    and not exists (
      select 1 from deliveries d where d.uid = m.uid
        and (d.state in ('queued', 'sending', 'scheduled') or d.state = 'held' and d.held_by is null))
  order by m.answer_until nulls first limit $2 for no key update of m skip locked)
update messages m set answer = 'giving', answer_until = clock_timestamp() + interval '10 s'
from x where m.uid = x.uid
returning m.uid, m.given_uid, m.reply_to, m.correlation_id, m.ack_url,
  m.verdict = 'banned' or exists (
    select 1 from deliveries d where d.uid = m.uid and d.state = 'withdrawn' and d.cause = 'its sender is banned') as banned,
  case when m.verdict in ('blocked', 'rejected') then coalesce(m.verdict_reason, m.verdict)
       else (select d.state from deliveries d where d.uid = m.uid and d.state in ('failed', 'expired', 'withdrawn')
               and d.cause not in ('its sender is banned', 'withdrawn by hand') order by d.id limit 1) end as failure,
  (select count(*) from api_calls c where c.uid = m.uid and c.operation = 'ack' and c.outcome = 'failed') as failed_acks";

const ANSWERED: &str = "
update messages set answer = $2, answer_until = null where uid = $1 and answer = 'giving'";

/// No broker took the answer: whoever waits may still do so, and hear it when the broker is back. Again after a second,
/// and then ever later; not once the message is older than anybody waits.
const ANSWER_LATER: &str = "
update messages set answer_until = clock_timestamp() + greatest(interval '1 s', (clock_timestamp() - accepted_at) / 4)
where uid = $1 and answer = 'giving' and accepted_at > clock_timestamp() - interval '2 min' returning uid";

/// Leases the telling to the caller, as above, of messages that are in some room and not yet whole in all. What its
/// producer never takes over must not be withdrawn from the other rooms: these forget their `deliver_by`, before it is
/// told. Where a room's was withdrawn already, perhaps while this waited for its row, nothing is told: the producer has
/// taken over. A message of one room has no others to lock, so that a lane never waits for this. Messages before
/// deliveries, as in accept.
const TAKE_BEGUN: &str = "
with x as materialized (
  select m.uid from messages m
  where (m.answer = 'due' or m.answer = 'giving' and m.answer_until < clock_timestamp())
    and m.reply_to is not null and not m.taken and ($1::text[] is null or m.uid = any($1))
    and exists (select 1 from deliveries d where d.uid = m.uid and d.sent > 0)
    and exists (select 1 from deliveries d where d.uid = m.uid and d.state in ('queued', 'sending', 'scheduled', 'held'))
    and not exists (select 1 from deliveries d where d.uid = m.uid and d.state = 'withdrawn')
  order by m.answer_until nulls first limit $2 for no key update of m skip locked),
rooms as materialized (
  select d.id, d.uid, d.state from deliveries d join x on x.uid = d.uid
  where exists (select 1 from deliveries o where o.uid = d.uid and o.id <> d.id)
  order by d.id for no key update of d),
told as materialized (
  select uid from x where not exists (select 1 from rooms where rooms.uid = x.uid and rooms.state = 'withdrawn')),
bound as (
  update deliveries d set deliver_by = null from rooms join told on told.uid = rooms.uid
  where d.id = rooms.id and d.deliver_by is not null)
update messages m set answer = 'giving', answer_until = clock_timestamp() + interval '10 s'
from told where m.uid = told.uid
returning m.uid, m.given_uid, m.reply_to, m.correlation_id";

/// Due again, now for the last answer. A repeat that asked meanwhile is told, too.
const TAKEN: &str = "
update messages set answer = 'due', answer_until = null, taken = true where uid = $1 and answer = 'giving'";

const NOTE_CALL: &str = "
insert into api_calls (uid, room, channel, operation, status, outcome, latency_ms, request, error)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

pub(super) const STATEMENTS: &[Statement] = &[
    ("take_answers", TAKE_DUE),
    ("answered", ANSWERED),
    ("answer_later", ANSWER_LATER),
    ("take_begun", TAKE_BEGUN),
    ("taken", TAKEN),
    ("note_call", NOTE_CALL),
];

impl Store {
    /// Takes the answers that are due, of these messages or of all; at most so many, since they are leased.
    pub async fn take_answers(&self, uids: Option<&[String]>, at_most: i64) -> Result<Vec<Due>, StoreError> {
        let rows = self.rows(TAKE_DUE, &[&uids, &at_most]).await?;
        rows.iter()
            .map(|r| {
                Ok(Due {
                    uid: r.try_get("uid")?,
                    given_uid: r.try_get("given_uid")?,
                    failure: r.try_get("failure")?,
                    banned: r.try_get("banned")?,
                    reply_to: r.try_get("reply_to")?,
                    correlation_id: r.try_get("correlation_id")?,
                    ack_url: r.try_get("ack_url")?,
                    failed_acks: r.try_get("failed_acks")?,
                })
            })
            .collect()
    }

    /// Notes how answering ended: given, or failed for good. A repeat that asked meanwhile stays due.
    pub async fn answered(&self, uid: &str, given: bool) -> Result<(), StoreError> {
        let state = if given { "given" } else { "failed" };
        self.rows(ANSWERED, &[&uid, &state]).await.map(drop)
    }

    /// Leaves an answer that no broker took to a later try; whether somebody may still wait for it.
    pub async fn answer_later(&self, uid: &str) -> Result<bool, StoreError> {
        Ok(!self.rows(ANSWER_LATER, &[&uid]).await?.is_empty())
    }

    /// Takes messages, of these or of all, whose producers are to be told that they are begun; at most so many, since
    /// they are leased. From now on no room's is withdrawn any more.
    pub async fn take_begun(&self, uids: Option<&[String]>, at_most: i64) -> Result<Vec<Begun>, StoreError> {
        let rows = self.rows(TAKE_BEGUN, &[&uids, &at_most]).await?;
        rows.iter()
            .map(|r| {
                Ok(Begun {
                    uid: r.try_get("uid")?,
                    given_uid: r.try_get("given_uid")?,
                    reply_to: r.try_get("reply_to")?,
                    correlation_id: r.try_get("correlation_id")?,
                })
            })
            .collect()
    }

    /// Notes that a producer was told that its message is begun; its last answer is due.
    pub async fn taken(&self, uid: &str) -> Result<(), StoreError> {
        self.rows(TAKEN, &[&uid]).await.map(drop)
    }

    /// Writes down a call that is no post.
    pub async fn note_call(&self, note: &CallNote<'_>) -> Result<(), StoreError> {
        let outcome = if note.ok { "ok" } else { "failed" };
        let status = note.status.and_then(|s| i16::try_from(s).ok());
        let latency = i32::try_from(note.latency.as_millis()).unwrap_or(i32::MAX);
        self.rows(
            NOTE_CALL,
            &[
                &note.uid,
                &note.room,
                &note.channel,
                &note.operation,
                &status,
                &outcome,
                &latency,
                &note.request,
                &note.error,
            ],
        )
        .await
        .map(drop)
    }
}
