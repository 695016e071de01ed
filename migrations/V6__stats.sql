-- Statistics. A million messages cannot be counted in 50 ms, but the sums of their hours can: each hour that is over is
-- summed once, by the dispatcher, and again where something changes in it later. What is not summed (the current hour,
-- an hour that changed, one in which something still waits) is counted from the messages themselves, so that figures are
-- exact at any time, also where no dispatcher ever ran.

create function wait_class(ms bigint) returns smallint language sql immutable strict parallel safe as
$$ select round(10 * ln(greatest(ms, 1)::float8))::smallint $$;
comment on function wait_class is 'A wait in milliseconds as the nearest of classes that are a tenth apart: class k stands for exp(k / 10) ms, at most 5 % from what is in it. So medians can be had of sums.';

create view message_outcomes as
select m.uid, m.accepted_at, m.source, m.sender_hash,
       case when m.verdict = 'accepted' then coalesce(
         (select d.state from deliveries d where d.uid = m.uid
          order by array_position(array['held', 'scheduled', 'queued', 'sending', 'failed', 'expired', 'withdrawn',
                                        'unconfirmed', 'sent', 'confirmed'], d.state) limit 1), 'accepted')
         else m.verdict end as state,
       case when m.verdict = 'accepted' then
         (select greatest(extract(epoch from min(c.at) - m.accepted_at) * 1000, 0)::bigint from api_calls c
          where c.uid = m.uid and c.operation = 'post' and c.outcome = 'posted') end as wait_ms
from messages m;
comment on view message_outcomes is 'What became of each message.';
comment on column message_outcomes.state is 'Its verdict; of an accepted one the state of its delivery that is least far.';
comment on column message_outcomes.wait_ms is 'From its acceptance until the chat''s first answer that a part of it is posted was written down, milliseconds; null where there is none: not posted, posted by its producer, or the answer was lost.';

create table stats_hours (
  hour     timestamptz primary key,
  sources  text[] not null,
  states   text[] not null,
  messages integer[] not null,
  waits    smallint[] not null,
  waited   integer[] not null,
  worst    bigint
) with (fillfactor = 70);
comment on table stats_hours is 'What the messages accepted in one hour became, summed. Kept where the messages are forgotten.';
comment on column stats_hours.hour is 'When it begins: a whole hour in UTC.';
comment on column stats_hours.sources is 'With states and messages, place by place: so many messages of that source ended in that state.';
comment on column stats_hours.states is 'As in message_outcomes.';
comment on column stats_hours.messages is 'How many.';
comment on column stats_hours.waits is 'With waited, place by place: so many messages waited so long: classes as of wait_class.';
comment on column stats_hours.waited is 'How many.';
comment on column stats_hours.worst is 'The longest wait, milliseconds; null where nothing was posted.';

create table stats_due (
  id   bigint generated always as identity primary key,
  hour timestamptz not null,
  due  timestamptz not null default clock_timestamp()
);
comment on table stats_due is 'Hours to be summed, or summed anew. Each change adds a row, and whoever sums an hour takes away the rows that it saw: what is committed meanwhile stays for the next time.';
comment on column stats_due.hour is 'When it begins.';
comment on column stats_due.due is 'When to look at it: later, where something in it still waited.';
create index stats_due_hour on stats_due (hour);
create index stats_due_due on stats_due (due);

-- An hour is summed a quarter of an hour after its end, when all of its deliveries are finished and none was replayed
-- within that time. So what changes it later is a change of a finished delivery of some age, a producer's record, or an
-- original whose record had come first; `when` keeps all else out before a function is called.
create function note_stats_due() returns trigger language plpgsql as $$
begin
  insert into stats_due (hour)
  select date_bin('1 hour', m.accepted_at, 'epoch') from messages m
  where m.uid = new.uid and m.accepted_at < clock_timestamp() - interval '10 min';
  return null;
end $$;
create trigger deliveries_changed_late after update of state on deliveries
  for each row when (old.state in ('sent', 'confirmed', 'unconfirmed', 'failed', 'expired', 'withdrawn')
                     and old.state <> new.state and old.media_since < clock_timestamp() - interval '10 min')
  execute function note_stats_due();
create trigger deliveries_recorded after insert on deliveries
  for each row when (new.state = 'sent') execute function note_stats_due();
create trigger messages_filled_in after update of content_hash on messages
  for each row when (old.content_hash is null and new.content_hash is not null)
  execute function note_stats_due();
create trigger api_calls_told_late after update of outcome on api_calls
  for each row when (old.outcome = 'unknown' and new.outcome = 'posted' and old.at < clock_timestamp() - interval '10 min')
  execute function note_stats_due();

-- Calls that went wrong are few: what is posted is not in it.
create index api_calls_errors on api_calls (at) where operation = 'post' and outcome not in ('posted', 'recorded');
