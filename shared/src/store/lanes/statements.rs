//! The statements of the lane protocol. The reference is the prototype that survived its attack.
use crate::store::Statement;

/// Leases the lane whose head may go now: not leased, not paused, its turn come, nothing in the air, no picture of it
/// still to be brought (it keeps its place, and its equals wait behind it); the highest head
/// first, then the room unserved longest. `skip locked` is right here and only here: who holds the row is a taker or
/// a holder, and looks again after it lets go. A lease, pause or turn further away than we ever set one is left over
/// from a clock that stepped back, and does not count.
///
/// The rooms are joined as rows: tested by `= any`, each probe of an index sorts the whole list anew. A lease that is lost
/// with the server is no loss, so its commit waits for no disk; that of the claim behind it does.
pub(super) const TAKE: &str = "
with t as materialized (
  select clock_timestamp() as now, set_config('synchronous_commit', 'off', true) as commits),
cand as (
  select l.room from t, unnest($3::text[]) w(room) join lanes l using (room)
  cross join lateral (select x.state, x.burst, x.pace from rooms x where x.name = w.room limit 1) r
  cross join lateral (select d.prio, d.blocked_until, d.awaits_media from deliveries d
                      where d.room = w.room and d.state in ('queued', 'sending')
                      order by d.prio desc, d.begun desc, d.qseq limit 1) head
  where r.state = 'open'
    and (l.token is null or l.lease_until < t.now or l.lease_until > t.now + make_interval(secs => $2::float8 + 60))
    and (l.paused_until is null or l.paused_until <= t.now or l.paused_until > t.now + interval '15 min')
    and (head.blocked_until is null or head.blocked_until <= t.now) and not head.awaits_media
    and (l.tat - (case when l.slow_until > t.now then 0 else r.burst - 1 end) * r.pace <= t.now
         or l.tat > t.now + 2 * (r.burst + 1) * r.pace + interval '1 min')
  order by head.prio desc, l.served_at nulls first limit 1
  for no key update of l skip locked)
update lanes l set token = $1::text, lease_until = t.now + make_interval(secs => $2), served_at = t.now
from cand, t where l.room = cand.room returning l.room";

/// What the holder of a lane is to do next. Locks lane, delivery, part in that order and waits for each (never skips:
/// the next message would overtake), so READ COMMITTED gives their newest version. A part becomes `posting` with its
/// attempt before the call, so that a crash leaves a trace. What nobody answered is judged once its time is over:
/// `look` where the room can be read; `absent` (go on as if it had not been posted) where it was read in vain, where
/// callbacks came and it was not among them, or where the room prefers twice to never; `hold`, judged anew each window,
/// while a confirming room is silent, and for a window after Postgres was away: the callback could not be stored; else
/// `gave_up`. A part that alone keeps failing is set aside; where the room has not been well since the
/// last one was, only after four times as many failures and uncounted (`rotate`), so that two bad ones cannot block the
/// room, and an outage can turn nothing into `failed`. A caller that died left no row: whoever finds its part writes it.
/// What has begun goes before its equals: a number is drawn before its accept commits, and one that commits late must
/// not come between the parts of another.
pub(super) const CLAIM: &str = "
with t as materialized (select clock_timestamp() as now),
up as materialized (select pg_postmaster_start_time() as since),
lane as materialized (
  select l.*, r.state as room_state, r.channel, r.on_unknown, r.readable, r.heard_at,
         r.confirm and coalesce(r.confirmed_post >= l.posts - 20, false) as confirms,
         case when l.paused_until > t.now + interval '15 min' then null else l.paused_until end as pause,
         r.pace * (case when l.slow_until > t.now then 2 else 1 end) as gap,
         case when l.tat > t.now + 2 * (r.burst + 1) * r.pace + interval '1 min' then t.now else l.tat end as tat_ok,
         case when l.tat > t.now + 2 * (r.burst + 1) * r.pace + interval '1 min' then t.now
              else l.tat - (case when l.slow_until > t.now then 0 else r.burst - 1 end) * r.pace end as turn
  from t, lanes l join rooms r on r.name = l.room
  where l.room = coalesce($10, (select h.room from lanes h where h.token = $1)) and l.token = $1
  for no key update of l),
head as materialized (
  select d.* from deliveries d
  where d.room = (select room from lane where room_state = 'open') and d.state in ('queued', 'sending')
  order by d.prio desc, d.begun desc, d.qseq limit 1 for no key update of d),
part as materialized (
  select p.* from parts p
  where p.delivery = (select id from head) and p.state in ('waiting', 'posting')
  order by p.n limit 1 for no key update of p),
verdict as materialized (
  select lane.room, lane.channel, lane.gap, lane.tat_ok, lane.failures, t.now, head.id, head.uid, head.prio,
         head.deliver_by, head.media_since, head.set_asides, head.sent + head.unsure as done,
         part.n, part.kind, part.text, part.text_sealed, part.picture_url, part.attempt, part.claimed_at, part.state as was,
         head.blocked_until, lane.pause, lane.turn,
         case when part.claimed_at < up.since and up.since + make_interval(secs => $3) > t.now
              then up.since + make_interval(secs => $3)
              else least(part.claimed_at + make_interval(secs => $4), t.now + make_interval(secs => $3)) end as held_until,
         case when head.id is null then 'idle'
              when lane.pause > t.now then 'wait'
              when head.state = 'queued' and head.expires_at <= t.now then 'expired'
              when head.state = 'queued' and head.sent + head.unsure = 0 and head.deliver_by <= t.now then 'withdrawn'
              when head.awaits_media then 'idle'
              when part.n is null then 'finished'
              when head.blocked_until > t.now then 'wait'
              when part.state = 'posting' then
                case when part.attempt = $6 and head.id = $7 and part.n = $8 then 'absent'
                     when lane.readable and part.looks < 5 then 'look'
                     when part.claimed_at < up.since and up.since + make_interval(secs => $3) > t.now then 'hold'
                     when lane.heard_at > part.claimed_at then 'absent'
                     when lane.confirms and part.claimed_at + make_interval(secs => $4) > t.now then 'hold'
                     when lane.on_unknown = 'resend' then 'absent'
                     else 'gave_up' end
              when part.failures >= $5::int and lane.well and head.set_asides >= cardinality($9::float8[]) then 'failed'
              when part.failures >= $5 and lane.well then 'set_aside'
              when part.failures >= 4 * $5 and exists (
                select 1 from deliveries o where o.room = lane.room and o.state in ('queued', 'sending') and o.id <> head.id)
                then 'rotate'
              when lane.turn > t.now then 'wait'
              else 'post' end as what
  from t, up, lane left join head on true left join part on true),
trace as (
  insert into api_calls (uid, room, channel, operation, delivery, part, attempt, token, outcome, error)
  select v.uid, v.room, v.channel, 'post', v.id, v.n, v.attempt, p.token, 'unknown', 'its caller died'
  from verdict v, part p where v.was = 'posting' and v.what in ('absent', 'gave_up')
  on conflict (delivery, part, attempt) where operation = 'post' and delivery is not null do nothing),
p2 as (
  update parts p set
    state = case v.what when 'post' then 'posting' when 'absent' then 'waiting' when 'gave_up' then 'unconfirmed'
                        when 'failed' then 'failed' else p.state end,
    attempt = p.attempt + (v.what = 'post')::int,
    failures = case when v.what in ('set_aside', 'rotate') then 0 else p.failures end,
    looks = case when v.what = 'post' then 0 else p.looks end,
    token = $1,
    claimed_at = case when v.what = 'post' then v.now else p.claimed_at end
  from verdict v where p.delivery = v.id and p.n = v.n and v.what in ('post', 'absent', 'gave_up', 'set_aside', 'rotate', 'failed')
  returning p.attempt, p.claimed_at),
d2 as (
  update deliveries d set
    state = case when v.what in ('expired', 'withdrawn', 'failed') then v.what
                 when v.what in ('set_aside', 'rotate') then 'scheduled'
                 when v.what = 'absent' then case when v.done = 0 then 'queued' else 'sending' end
                 when v.what = 'finished' or (v.what = 'gave_up' and v.done + 1 >= d.parts)
                   then case when d.confirmed >= d.parts then 'confirmed'
                             when v.what = 'finished' and d.sent + d.unsure < d.parts then 'failed'
                             when d.unsure + (v.what = 'gave_up')::int > 0 then 'unconfirmed' else 'sent' end
                 else 'sending' end,
    cause = case v.what when 'post' then 'its turn' when 'expired' then 'too old'
                        when 'withdrawn' then 'its producer has taken over' when 'absent' then 'answer lost, not seen in the room'
                        when 'set_aside' then 'set aside: it alone keeps failing'
                        when 'rotate' then 'set aside: whether another fails too' when 'failed' then 'it alone keeps failing'
                        when 'gave_up' then 'answer lost, not sent again' else 'no part left' end,
    begun = d.begun or v.what = 'post',
    unsure = d.unsure + (v.what = 'gave_up')::int,
    set_asides = d.set_asides + (v.what = 'set_aside')::int,
    due_at = case v.what when 'set_aside' then v.now + make_interval(secs => ($9::float8[])[v.set_asides + 1])
                         when 'rotate' then v.now + make_interval(secs => coalesce(($9::float8[])[1], 60)) else d.due_at end,
    blocked_until = case when v.what = 'post' then v.now + make_interval(secs => $2::float8 + $3::float8) end
  from verdict v where d.id = v.id and v.what not in ('wait', 'idle', 'look', 'hold')),
d3 as (
  update deliveries d set blocked_until = v.held_until from verdict v where d.id = v.id and v.what = 'hold'),
l2 as (
  update lanes l set lease_until = v.now + make_interval(secs => $2),
    tat = case when v.what = 'post' then greatest(v.tat_ok, v.now) + v.gap else v.tat_ok end,
    well = l.well and v.what not in ('set_aside', 'failed')
  from verdict v where l.room = v.room and l.token = $1)
select v.what, v.room, v.id, v.uid, v.n, v.kind, v.text, v.text_sealed, v.picture_url,
       coalesce((select attempt from p2), v.attempt) as attempt,
       coalesce((select claimed_at from p2), v.claimed_at) as claimed_at, v.failures,
       extract(epoch from case when v.pause > v.now then v.pause
                               when v.what = 'hold' then v.held_until
                               when v.blocked_until > v.now then v.blocked_until else v.turn end - v.now)::float8 as wait,
       case when v.done = 0 then extract(epoch from v.deliver_by - v.now)::float8 end as deliver_in,
       case when v.done = 0 then extract(epoch from v.now - v.media_since)::float8 end as waited
from verdict v";

/// Writes down how a call ended. Keyed by attempt, not by the lease: the row is always written, and a late answer
/// still counts as proof, also while a later attempt is in the air: that one may turn out never to have been made, and
/// must not be made then. Its row is written here, in case that its caller died; a living one completes it. Only the
/// token's owner touches the lane. What is late of one part must not end the block for another that is in the air. A
/// room is suspended only for the address that it still has (`$15`): a process that lives with the old one must not undo
/// that somebody mended it.
///
/// Its commit waits for no disk, for it never comes alone: the claim or the release behind it, in the same round trip,
/// waits for the log up to its own place, and this stands before it. Who asks believes neither without the other.
pub(super) const RECORD: &str = "
with t as materialized (
  select clock_timestamp() as now, set_config('synchronous_commit', 'off', true) as commits),
lane as materialized (
  select l.room, r.pace * (case when l.slow_until > t.now then 2 else 1 end) as gap
  from t, lanes l join rooms r on r.name = l.room where l.room = $16 and l.token = $1 for no key update of l),
call as (
  insert into api_calls (uid, room, channel, operation, delivery, part, attempt, token, outcome, status, latency_ms,
                         request, response, error)
  select d.uid, d.room, $5::text, 'post', $2::bigint, $3::smallint, $4::int, $1, $6::text, $7::smallint, ($8::float8 * 1000)::int,
         $9::jsonb, $10::jsonb, $11::text from deliveries d where d.id = $2
  on conflict (delivery, part, attempt) where operation = 'post' and delivery is not null
  do update set outcome = excluded.outcome, status = excluded.status, latency_ms = excluded.latency_ms,
                request = excluded.request, response = excluded.response, error = excluded.error
  where api_calls.outcome = 'unknown'),
d0 as materialized (
  select d.id, d.uid, d.state from deliveries d where d.id = $2 and (select count(*) from lane) >= 0 for no key update),
old as materialized (
  select p.delivery, p.n, p.state, p.attempt, p.token from parts p
  where p.delivery = $2 and p.n = $3 and exists (select 1 from d0)
    and (p.attempt = $4 and p.state in ('posting', 'unconfirmed')
         or $6 = 'posted' and p.attempt >= $4 and p.state in ('waiting', 'posting', 'unconfirmed'))
  for no key update of p),
trace as (
  insert into api_calls (uid, room, channel, operation, delivery, part, attempt, token, outcome, error)
  select d.uid, d.room, $5, 'post', old.delivery, old.n, old.attempt, old.token, 'unknown',
         'an earlier attempt was posted, its caller has not told'
  from old join deliveries d on d.id = old.delivery where old.state = 'posting' and old.attempt > $4
  on conflict (delivery, part, attempt) where operation = 'post' and delivery is not null do nothing),
p as (
  update parts p set
    state = case when $6 = 'posted' then 'sent' when $6 = 'refused' then 'failed' when $6 = 'unknown' then old.state
                 when old.state = 'unconfirmed' then 'unconfirmed' else 'waiting' end,
    failures = p.failures + ($6 = 'unknown')::int
  from old where p.delivery = old.delivery and p.n = old.n returning p.delivery, p.n, old.state as was),
d as (
  update deliveries d set
    sent = d.sent + ($6 = 'posted')::int,
    unsure = d.unsure - ($6 in ('posted', 'refused') and p.was = 'unconfirmed')::int,
    cause = case $6 when 'posted' then 'posted' when 'refused' then 'refused by the provider' when 'suspended' then 'the room is wrong'
                    when 'limited' then 'rate limit' when 'unknown' then 'answer lost' else 'provider unavailable' end,
    state = case when $6 = 'refused' and d.state in ('sending', 'queued', 'unconfirmed') then 'failed'
                 when $6 = 'posted' and d.state not in ('sent', 'confirmed')
                      and d.sent + 1 + d.unsure - (p.was = 'unconfirmed')::int >= d.parts
                   then case when d.confirmed >= d.parts then 'confirmed'
                             when d.unsure - (p.was = 'unconfirmed')::int > 0 then 'unconfirmed' else 'sent' end
                 when $6 = 'posted' and d.state = 'queued' then 'sending'
                 when $6 in ('retry', 'limited', 'suspended') and d.state = 'sending' and d.sent + d.unsure = 0 then 'queued'
                 else d.state end,
    blocked_until = case when p.was <> 'posting' then d.blocked_until
                         when $6 = 'unknown' then t.now + make_interval(secs => $13) end
  from p, t where d.id = p.delivery returning d.state),
l as (
  update lanes l set
    tat = greatest(l.tat, t.now - make_interval(secs => $8) + lane.gap),
    failures = case when $6 in ('retry', 'limited', 'unknown') then l.failures + 1 else 0 end,
    paused_until = case when $6 in ('retry', 'limited', 'suspended') then t.now + make_interval(secs => $12) end,
    pause_cause = case $6 when 'limited' then 'rate limit' when 'retry' then 'provider unavailable'
                          when 'suspended' then 'the room is wrong' end,
    slow_until = case when $6 = 'limited' then t.now + make_interval(secs => $14) else l.slow_until end,
    well = l.well or $6 = 'posted',
    posts = l.posts + ($6 = 'posted')::int
  from lane, t where l.room = lane.room and l.token = $1),
r as (
  update rooms r set state = 'suspended', state_since = t.now, state_reason = 'HTTP ' || coalesce($7::text, '?')
  from lane, t where r.name = lane.room and r.state = 'open' and $6 = 'suspended' and r.fingerprint = $15 returning r.name)
select (select count(*) from lane) > 0 as owner, coalesce((select state from d), (select state from d0)) as state,
       exists (select 1 from r) as suspended,
       coalesce((select m.answer in ('due', 'giving') from messages m where m.uid = (select uid from d0)), false) as asked";

pub(super) const RELEASE: &str = "update lanes set token = null, lease_until = null where token = $1";

/// Takes back claims of this holder whose call was never begun: nothing is in the air, so nobody need wait until the
/// window is over, nor give the part up for lost. That is a claim found too late to call, or one whose answer was lost
/// with the connection. Its number is taken back with it: each attempt has a row, and no call bears this one. Not
/// `$2, $3, $4`: what was called and could not be recorded; nor what was recorded as unknown.
pub(super) const DISOWN: &str = "
with lane as materialized (select room from lanes where token = $1 for no key update),
mine as materialized (
  select p.delivery, p.n, p.attempt from parts p
  where p.state = 'posting' and p.token = $1 and (select count(*) from lane) >= 0
    and (p.delivery, p.n, p.attempt) is distinct from ($2::bigint, $3::smallint, $4::int)
    and not exists (select 1 from api_calls a where a.operation = 'post' and a.delivery = p.delivery and a.part = p.n
                                                and a.attempt = p.attempt)),
d0 as materialized (
  select d.id from deliveries d where d.id in (select delivery from mine) order by d.id for no key update),
old as materialized (
  select p.delivery, p.n from parts p join d0 on p.delivery = d0.id
    join mine on mine.delivery = p.delivery and mine.n = p.n and mine.attempt = p.attempt
  where p.state = 'posting' and p.token = $1 for no key update of p),
p as (
  update parts p set state = 'waiting', attempt = p.attempt - 1 from old
  where p.delivery = old.delivery and p.n = old.n returning p.delivery)
update deliveries d set blocked_until = null, cause = 'not called after all',
  state = case when d.state = 'sending' and d.sent + d.unsure = 0 then 'queued' else d.state end
from p where d.id = p.delivery";

/// Puts off the judgement of a part in the air whose room could not be read.
pub(super) const POSTPONE: &str = "
with lane as materialized (select room from lanes where token = $1 for no key update),
d as (update deliveries d set blocked_until = clock_timestamp() + make_interval(secs => $5)
      from lane where d.id = $2 and d.room = lane.room and d.state in ('queued', 'sending') returning d.id)
update parts p set looks = p.looks + 1 from d
where p.delivery = d.id and p.n = $3 and p.attempt = $4 and p.state = 'posting'";

pub(in crate::store) const STATEMENTS: &[Statement] = &[
    ("take", TAKE),
    ("claim", CLAIM),
    ("record", RECORD),
    ("release", RELEASE),
    ("postpone", POSTPONE),
    ("disown", DISOWN),
];
