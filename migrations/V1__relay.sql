-- The relay's tables. Postgres holds the work; the queue and HTTP are doors.
--
-- Lock order of every statement: lanes, deliveries, parts; each `for no key update`. A decision rests only on rows
-- that its statement has locked. Every column that says *sealed* is encrypted by the functions (AEAD, key id in
-- front; table, column and row as associated data). Bot ids, tokens and keys are in no column.

create sequence queue_seq;
comment on sequence queue_seq is 'Order of entering the queue. Cache 1, so that numbers are drawn in order across sessions.';

create table rooms (
  name         text primary key,
  channel      text not null,
  group_id     text not null,
  fingerprint  bytea not null,
  state        text not null default 'open' check (state in ('open', 'paused', 'suspended')),
  state_reason text,
  state_since  timestamptz not null default clock_timestamp(),
  pace         interval not null check (pace >= interval '0'),
  burst        integer not null check (burst >= 1),
  confirm      boolean not null,
  readable     boolean not null,
  on_unknown   text not null check (on_unknown in ('resend', 'give_up')),
  heard_at     timestamptz,
  confirmed_post bigint
);
comment on table rooms is 'One place to speak each, copied from the configuration when a function starts; workers only read it.';
comment on column rooms.channel is 'The kind of chat: groupme.';
comment on column rooms.group_id is 'The chat''s own name of the group.';
comment on column rooms.fingerprint is 'Keyed hash of address, group and token: when it changes, a suspended room is opened again.';
comment on column rooms.state is 'open; paused by a person; suspended because the provider said 401 or 404.';
comment on column rooms.state_reason is 'Why it is not open.';
comment on column rooms.pace is 'The shortest time between two posts in the long run.';
comment on column rooms.burst is 'How many posts may go at once after a silence.';
comment on column rooms.confirm is 'Whether callbacks of this room are listened to for our own lines.';
comment on column rooms.readable is 'Whether a member''s token is set, so that the room can be read back.';
comment on column rooms.on_unknown is 'What to do with a call whose answer was lost, where nothing can tell: resend or give_up.';
comment on column rooms.heard_at is 'When the last callback of its group came, whoever spoke.';
comment on column rooms.confirmed_post is 'lanes.posts when one of our lines was last heard: the room confirms while that is within 20 posts.';
create index rooms_group on rooms (group_id);

create table lanes (
  room         text primary key,
  token        text,
  lease_until  timestamptz,
  served_at    timestamptz,
  tat          timestamptz not null default 'epoch',
  paused_until timestamptz,
  pause_cause  text,
  failures     integer not null default 0,
  slow_until   timestamptz,
  well         boolean not null default true,
  posts        bigint not null default 0
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table lanes is 'The row by which a room is drained by one holder at a time. Touched by take, claim, record and release; accept never touches it.';
comment on column lanes.token is 'Who holds the lane: a random mark of each holder; null when nobody does.';
comment on column lanes.lease_until is 'When the lane is free again, should its holder not come back.';
comment on column lanes.served_at is 'When it was taken last: of equal heads, the lane unserved longest is next.';
comment on column lanes.tat is 'Theoretical arrival time of the next post (GCRA), on the database''s clock.';
comment on column lanes.paused_until is 'No post before this: a call was surely not posted, or came too fast.';
comment on column lanes.pause_cause is 'Why: rate limit, or provider unavailable.';
comment on column lanes.slow_until is 'At half the pace and without burst until then, after a rate limit.';
comment on column lanes.failures is 'Calls in a row that did not succeed; the pause grows with it.';
comment on column lanes.well is 'A post succeeded since a delivery was last set aside: only then may another be set aside.';
comment on column lanes.posts is 'Posts that the provider answered with 2xx.';

create table messages (
  uid            text primary key check (octet_length(uid) <= 128),
  given_uid      text not null,
  short_uid      text not null,
  source         text not null,
  door           text not null,
  sent_by        text,
  verdict        text not null check (verdict in ('accepted', 'already_sent', 'banned', 'blocked', 'rejected')),
  verdict_reason text,
  priority       smallint not null,
  sender_hash    bytea,
  sender_sealed  bytea,
  body           text,
  body_sealed    bytea,
  media_sealed   bytea,
  content_hash   bytea,
  accepted_by    text not null,
  repeats        integer not null default 0,
  reply_to       text,
  correlation_id text,
  ack_url        boolean not null default false,
  answer         text check (answer in ('due', 'giving', 'given', 'failed')),
  answer_until   timestamptz,
  accepted_at    timestamptz not null default clock_timestamp()
) with (fillfactor = 90);
comment on table messages is 'One thing somebody wants known each, with what accept decided (verdict).';
comment on column messages.uid is 'Identity: a UUID, or the producer''s uid @ its source.';
comment on column messages.given_uid is 'The uid as its producer wrote it: what answers name.';
comment on column messages.short_uid is 'The uid up to its first hyphen: what people see and type.';
comment on column messages.source is 'Where it came from: a routing key.';
comment on column messages.door is 'http, rabbitmq, chat or talkback.';
comment on column messages.sent_by is 'Name of the send key.';
comment on column messages.verdict is 'What accept decided.';
comment on column messages.verdict_reason is 'Why, in one word, where it was not accepted.';
comment on column messages.priority is '0 normal, 1 high, 2 urgent.';
comment on column messages.sender_hash is 'Keyed hash of the sender''s address, for look-ups.';
comment on column messages.sender_sealed is 'Sealed JSON: address, name, place.';
comment on column messages.body is 'The clean text of what is or will be posted.';
comment on column messages.body_sealed is 'Sealed text of what is never posted (banned, blocked).';
comment on column messages.media_sealed is 'Sealed JSON list of media URLs and claimed types.';
comment on column messages.content_hash is 'Keyed hash of the content: same uid with other content is refused. Null while only a record is known.';
comment on column messages.accepted_by is 'Random mark of the accept that planned the deliveries.';
comment on column messages.repeats is 'How often it came again.';
comment on column messages.reply_to is 'The queue where its producer waits, on the default exchange.';
comment on column messages.correlation_id is 'What the reply repeats.';
comment on column messages.ack_url is 'Whether the Twilio front end waits for POST ACK_URL.';
comment on column messages.answer is 'Whether a producer waits for an answer: due, giving (until answer_until), given, failed.';
comment on column messages.answer_until is 'Whoever is answering has until then; after it another may.';
create index messages_short_uid on messages (short_uid, accepted_at desc);
create index messages_accepted_at on messages (accepted_at);
create index messages_answer on messages (answer_until nulls first) where answer in ('due', 'giving');

create table deliveries (
  id            bigint generated always as identity primary key,
  uid           text not null references messages,
  room          text not null,
  prio          smallint not null,
  qseq          bigint not null,
  begun         boolean not null default false,
  state         text not null check (state in ('queued', 'sending', 'scheduled', 'held', 'sent', 'confirmed',
                                               'unconfirmed', 'failed', 'expired', 'withdrawn')),
  cause         text not null,
  parts         smallint not null,
  sent          smallint not null default 0,
  confirmed     smallint not null default 0,
  unsure        smallint not null default 0,
  set_asides    smallint not null default 0,
  blocked_until timestamptz,
  due_at        timestamptz,
  age           interval not null,
  expires_at    timestamptz not null,
  deliver_by    timestamptz,
  told          boolean not null default false,
  unique (uid, room)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
comment on table deliveries is 'One message for one room each. Counters, increased in one UPDATE, decide when it is finished: counting part rows is write skew.';
comment on column deliveries.prio is 'The message''s priority in this room: the highest goes first.';
comment on column deliveries.qseq is 'Place in the queue, drawn when the delivery enters queued.';
comment on column deliveries.cause is 'Why its state is what it is; copied into the event of the change.';
comment on column deliveries.parts is 'How many calls it takes.';
comment on column deliveries.begun is 'A part of it was claimed: it goes before all equals in priority, also before one whose accept drew a lower qseq and committed later.';
comment on column deliveries.sent is 'Parts answered 2xx or seen in the room.';
comment on column deliveries.unsure is 'Parts that nobody knows about (unconfirmed).';
comment on column deliveries.confirmed is 'Parts seen in the room.';
comment on column deliveries.set_asides is 'How often it was set aside because it alone kept failing.';
comment on column deliveries.blocked_until is 'A part is in the air: who finds it may decide only after this.';
comment on column deliveries.due_at is 'When a scheduled or held delivery enters the queue.';
comment on column deliveries.age is 'How long it is worth posting; counted anew by a replay.';
comment on column deliveries.expires_at is 'Too old to be begun after this.';
comment on column deliveries.deliver_by is 'Its producer posts by itself after this: the first part is not posted later.';
comment on column deliveries.told is 'The room has been told that this urgent message expired.';
-- Every claim reads the head of this; what is not ready is not in it.
create index deliveries_ready on deliveries (room, prio desc, begun desc, qseq) where state in ('queued', 'sending');
create index deliveries_expiry on deliveries (expires_at) where state in ('queued', 'scheduled', 'held');
create index deliveries_deliver_by on deliveries (deliver_by) where state = 'queued' and deliver_by is not null;
create index deliveries_due on deliveries (due_at) where state in ('scheduled', 'held');
create index deliveries_untold on deliveries (id) where state = 'expired' and prio = 2 and not told;
create index deliveries_trouble on deliveries (room, id) where state in ('failed', 'unconfirmed');

create table parts (
  delivery     bigint not null references deliveries,
  n            smallint not null,
  room         text not null,
  kind         text not null check (kind in ('text', 'picture', 'closing', 'notice')),
  text         text not null,
  picture_url  text,
  fingerprint  bytea not null,
  state        text not null default 'waiting'
               check (state in ('waiting', 'posting', 'sent', 'confirmed', 'unconfirmed', 'failed')),
  attempt      integer not null default 0,
  failures     smallint not null default 0,
  looks        smallint not null default 0,
  token        text,
  claimed_at   timestamptz,
  confirmed_by text,
  primary key (delivery, n)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
comment on table parts is 'One API call''s worth of a delivery each.';
comment on column parts.n is 'Its place, from 1.';
comment on column parts.kind is 'A piece of the text, a picture, the closing line of a message without text, or a notice of what could not be sent.';
comment on column parts.text is 'What is said, dressed; empty for a picture.';
comment on column parts.picture_url is 'The picture, where it lies with the provider.';
comment on column parts.fingerprint is 'SHA-256 of the text without white space at its ends (of a picture: its URL), by which a line in the room is matched.';
comment on column parts.attempt is 'Number of the current attempt; 0 before the first.';
comment on column parts.failures is 'Answers of this part that were no success and no rate limit.';
comment on column parts.looks is 'How often the room could not be read for the current attempt.';
comment on column parts.token is 'The holder that claimed it.';
comment on column parts.claimed_at is 'When its last attempt was claimed.';
comment on column parts.confirmed_by is 'Id of the line in the room that is this part.';
create index parts_unconfirmed on parts (room, fingerprint, claimed_at)
  where state in ('posting', 'sent', 'unconfirmed') or state = 'waiting' and attempt > 0;
create index parts_sent on parts (room, claimed_at) where state = 'sent';
create index parts_in_the_air on parts (delivery) where state = 'posting';

create table delivery_events (
  id        bigint generated always as identity primary key,
  delivery  bigint not null,
  at        timestamptz not null default clock_timestamp(),
  old_state text,
  new_state text not null,
  cause     text not null
);
comment on table delivery_events is 'Every change of a delivery''s state; written by a trigger, so that none is forgotten.';
comment on column delivery_events.old_state is 'Null for the first.';
comment on column delivery_events.cause is 'Why, as the delivery had it then.';
create index delivery_events_delivery on delivery_events (delivery, id);

create function write_delivery_event() returns trigger language plpgsql as $$
begin
  insert into delivery_events (delivery, old_state, new_state, cause)
  values (new.id, case when tg_op = 'UPDATE' then old.state end, new.state, new.cause);
  return null;
end $$;
create trigger deliveries_inserted after insert on deliveries
  for each row execute function write_delivery_event();
create trigger deliveries_changed after update of state on deliveries
  for each row when (old.state is distinct from new.state) execute function write_delivery_event();

create table api_calls (
  id         bigint generated always as identity primary key,
  at         timestamptz not null default clock_timestamp(),
  uid        text,
  room       text,
  channel    text not null,
  operation  text not null,
  status     smallint,
  outcome    text not null,
  latency_ms integer,
  request    jsonb,
  response   jsonb,
  error      text,
  delivery   bigint,
  part       smallint,
  attempt    integer,
  token      text,
  record_key uuid
);
comment on table api_calls is 'Every attempt to speak with a provider, ours and those that producers recorded.';
comment on column api_calls.channel is 'Which provider: groupme, or http and amqp for answers to producers.';
comment on column api_calls.operation is 'post, read (of the room), upload, callback, ack or reply.';
comment on column api_calls.status is 'HTTP status; null where there was no answer.';
comment on column api_calls.outcome is 'posted, retry, limited, refused, suspended, unknown; ok or failed for what is no post; recorded.';
comment on column api_calls.latency_ms is 'From before the request to the answer, or to giving up.';
comment on column api_calls.request is 'What was said, without the secret that addresses the room.';
comment on column api_calls.response is 'What was answered, as far as worth keeping.';
comment on column api_calls.error is 'What went wrong, without secrets.';
comment on column api_calls.delivery is 'With part and attempt: the attempt that this call was.';
comment on column api_calls.part is 'See delivery.';
comment on column api_calls.attempt is 'See delivery.';
comment on column api_calls.token is 'The holder of the lane that made it.';
comment on column api_calls.record_key is 'Identity of a producer''s record, so that a redelivery writes nothing twice.';
create unique index api_calls_attempt on api_calls (delivery, part, attempt) where operation = 'post' and delivery is not null;
create unique index api_calls_record on api_calls (record_key) where record_key is not null;
create index api_calls_uid on api_calls (uid) where uid is not null;

create table groupme_callbacks (
  group_id       text not null,
  line_id        text not null,
  received_at    timestamptz not null default clock_timestamp(),
  created_at     timestamptz,
  learnt_by      text not null check (learnt_by in ('callback', 'read', 'record')),
  sender_type    text not null,
  text_length    integer,
  payload_sealed bytea not null,
  command        text,
  delivery       bigint,
  part           smallint,
  primary key (group_id, line_id)
);
create index groupme_callbacks_received_at on groupme_callbacks (received_at);
comment on table groupme_callbacks is 'Each line said in the room, once, however it was learnt.';
comment on column groupme_callbacks.line_id is 'GroupMe''s id of the line.';
comment on column groupme_callbacks.created_at is 'When it was said, by GroupMe''s clock.';
comment on column groupme_callbacks.learnt_by is 'By callback, by reading the room, or from a producer''s record.';
comment on column groupme_callbacks.sender_type is 'user, bot, system, service, or a word that GroupMe adds.';
comment on column groupme_callbacks.text_length is 'In code points; null where there was no text.';
comment on column groupme_callbacks.command is 'The command that it was, if it was one of ours.';
comment on column groupme_callbacks.payload_sealed is 'Sealed JSON as it came, with its people''s names.';
comment on column groupme_callbacks.delivery is 'The delivery and part that this line confirmed.';
comment on column groupme_callbacks.part is 'See delivery.';

create table callback_refusals (
  minute timestamptz not null,
  reason text not null,
  count  bigint not null default 1,
  primary key (minute, reason)
);
comment on table callback_refusals is 'Callbacks turned away, counted by minute and reason: an attacker must not be able to fill a disk.';

create table rejected (
  id         uuid primary key,
  at         timestamptz not null default clock_timestamp(),
  door       text not null,
  source     text,
  reason     text not null,
  detail     text,
  raw_sealed bytea not null
);
comment on table rejected is 'Input that could not be read or stored, one row each, kept for a person to see.';
comment on column rejected.id is 'Repeated by a redelivery, so that one bad input is one row.';
comment on column rejected.door is 'http, rabbitmq, or dead: the dead letters.';
comment on column rejected.reason is 'One word.';
comment on column rejected.detail is 'Names the field, and quotes nothing.';
comment on column rejected.raw_sealed is 'Sealed bytes as they came, known secrets struck out.';
create index rejected_at on rejected (at);

create table functions_seen (
  function    text primary key,
  last_ran_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table functions_seen is 'When each function last ran.';
