//! What no holder of a lane comes by: expires and withdraws in bulk, promotes what is due, settles calls whose time is
//! over, notices confirmations that never came. Each statement takes at most a thousand rows, in the order of their
//! index, and skips what somebody else is working on: the next sweep finds it.
//!
//! The time is read by a subquery: then it is one value, and an index can be entered at it. `clock_timestamp()` by
//! itself may differ from row to row, and every row of the index would be read and compared.
use std::time::Duration;

use super::Statement;
use super::connection::{Store, StoreError};

/// Not what a mute holds: it grows old when it is let go.
const EXPIRE: &str = "
with x as (select id from deliveries where state in ('queued', 'scheduled') and expires_at <= (select clock_timestamp())
           order by expires_at limit 1000 for no key update skip locked)
update deliveries d set state = 'expired', cause = 'too old' from x where d.id = x.id";

const WITHDRAW: &str = "
with x as (select id from deliveries where state = 'queued' and deliver_by <= (select clock_timestamp()) and sent + unsure = 0
           order by deliver_by limit 1000 for no key update skip locked)
update deliveries d set state = 'withdrawn', cause = 'its producer has taken over' from x where d.id = x.id";

/// `qseq` is drawn anew: a delivery that enters the queue is new in order, and cannot split one that is being posted.
const PROMOTE: &str = "
with x as materialized (
  select id, due_at, qseq from deliveries where state = 'scheduled' and due_at <= (select clock_timestamp())
  order by due_at, qseq limit 1000 for no key update skip locked),
n as materialized (
  select id, nextval('queue_seq') as qseq from (select id from x order by due_at, x.qseq offset 0) o)
update deliveries d set state = 'queued', cause = 'due', qseq = n.qseq, begun = false, due_at = null
from n where d.id = n.id";

/// Parts answered 2xx and never seen, in rooms that confirm; `$1` seconds after their claim. Older than a day is left
/// alone: a room may begin to confirm long after.
const UNCONFIRMED: &str = "
with late as materialized (
  select p.delivery, p.n from rooms r join lanes l on l.room = r.name
  join lateral (select p.delivery, p.n from parts p
                where p.room = r.name and p.state = 'sent'
                  and p.claimed_at > (select clock_timestamp() - interval '1 day')
                  and p.claimed_at <= (select clock_timestamp() - make_interval(secs => $1))
                order by p.claimed_at limit 1000) p on true
  where r.confirm and r.confirmed_post >= l.posts - 20),
d0 as materialized (
  select d.id from deliveries d where d.id in (select delivery from late) order by d.id for no key update skip locked),
old as materialized (
  select p.delivery, p.n from parts p join d0 on p.delivery = d0.id join late on late.delivery = p.delivery and late.n = p.n
  where p.state = 'sent' for no key update of p),
p as (update parts p set state = 'unconfirmed' from old where p.delivery = old.delivery and p.n = old.n returning p.delivery)
update deliveries d set sent = d.sent - x.k, unsure = d.unsure + x.k, cause = 'never seen in the room',
  state = case when d.state = 'sent' then 'unconfirmed' else d.state end
from (select delivery, count(*)::smallint as k from p group by delivery) x where d.id = x.delivery";

/// Parts in the air under a delivery that is no longer sent (settled by its producer, withdrawn, failed meanwhile):
/// nobody will claim them, so nobody else would write the row of their call.
const SETTLE_STRAYS: &str = "
with t as materialized (select clock_timestamp() as now),
d0 as materialized (
  select d.id, d.uid, d.room from t, deliveries d
  where d.id in (select delivery from parts where state = 'posting')
    and d.state not in ('queued', 'sending', 'scheduled', 'held') and coalesce(d.blocked_until <= t.now, true)
  order by d.id limit 1000 for no key update of d skip locked),
old as materialized (
  select p.delivery, p.n, p.attempt, p.token, d0.uid, d0.room from parts p join d0 on p.delivery = d0.id
  where p.state = 'posting' for no key update of p),
trace as (
  insert into api_calls (uid, room, channel, operation, delivery, part, attempt, token, outcome, error)
  select o.uid, o.room, r.channel, 'post', o.delivery, o.n, o.attempt, o.token, 'unknown', 'its caller died'
  from old o join rooms r on r.name = o.room
  on conflict (delivery, part, attempt) where operation = 'post' and delivery is not null do nothing),
p as (update parts p set state = 'unconfirmed' from old where p.delivery = old.delivery and p.n = old.n returning p.delivery)
update deliveries d set unsure = d.unsure + 1, blocked_until = null, cause = 'answer lost' from p where d.id = p.delivery";

const UNTOLD: &str = "
select d.id, d.uid, m.short_uid, m.source, d.room,
       extract(epoch from d.expires_at - m.accepted_at)::float8 as waited
from deliveries d join messages m using (uid)
where d.state = 'expired' and d.prio = 2 and not d.told order by d.id limit 100";

const TOLD: &str = "update deliveries set told = true where id = $1";

pub(super) const STATEMENTS: &[Statement] = &[
    ("expire", EXPIRE),
    ("withdraw", WITHDRAW),
    ("promote", PROMOTE),
    ("unconfirmed", UNCONFIRMED),
    ("settle_strays", SETTLE_STRAYS),
    ("untold", UNTOLD),
    ("told", TOLD),
];

/// A delivery that expired unseen though it was urgent.
pub struct Untold {
    /// The delivery's id.
    pub delivery: i64,
    /// The message's identity.
    pub uid: String,
    /// What people call it.
    pub short_uid: String,
    /// Where it came from.
    pub source: String,
    /// The room.
    pub room: String,
    /// How long it had waited.
    pub waited: Duration,
}

impl Store {
    /// One sweep. `unconfirmed_after`: how long a callback may take.
    pub async fn sweep(&self, unconfirmed_after: Duration) -> Result<(), StoreError> {
        for statement in [EXPIRE, WITHDRAW, PROMOTE] {
            self.rows(statement, &[]).await?;
        }
        self.sweep_mutes().await?;
        self.rows(UNCONFIRMED, &[&unconfirmed_after.as_secs_f64()]).await?;
        self.rows(SETTLE_STRAYS, &[]).await?;
        Ok(())
    }

    /// Urgent deliveries that expired and whose room has not been told.
    pub async fn untold(&self) -> Result<Vec<Untold>, StoreError> {
        let rows = self.rows(UNTOLD, &[]).await?;
        rows.iter()
            .map(|r| {
                Ok(Untold {
                    delivery: r.try_get("id")?,
                    uid: r.try_get("uid")?,
                    short_uid: r.try_get("short_uid")?,
                    source: r.try_get("source")?,
                    room: r.try_get("room")?,
                    waited: Duration::try_from_secs_f64(r.try_get("waited")?).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Notes that the room has been told.
    pub async fn told(&self, delivery: i64) -> Result<(), StoreError> {
        self.rows(TOLD, &[&delivery]).await.map(drop)
    }
}
