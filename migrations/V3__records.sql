-- The outside logger: our own calls and lines, published to the broker as well; and the views that reports read.

create table record_publishing (
  one  boolean primary key default true check (one),
  wait interval not null
);
comment on table record_publishing is 'The switch: its one row is there while our calls are to be published. Written when a function starts.';
comment on column record_publishing.one is 'Always true: there is one row at most.';
comment on column record_publishing.wait is 'How long a call is kept back of which its caller is to tell more: the outcome of one that is unknown, the address of a picture that was taken.';

create table record_outbox (
  id       bigint generated always as identity primary key,
  call     bigint,
  group_id text,
  line_id  text,
  due      timestamptz not null default clock_timestamp(),
  tries    integer not null default 0,
  check ((call is null) <> (line_id is null) and (group_id is null) = (line_id is null))
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
comment on table record_outbox is 'What is still to be published: a call or a line each. Filled by triggers, so that none is forgotten. A row whose call or line is forgotten goes unpublished.';
comment on column record_outbox.call is 'The call in api_calls; or else:';
comment on column record_outbox.line_id is 'With group_id: the line in groupme_callbacks.';
comment on column record_outbox.due is 'From when it may be published; ahead of now while somebody publishes it, who then deletes it only if this is unchanged.';
comment on column record_outbox.tries is 'How often it was published without the broker''s confirm, or could not be: each time it is put off for longer.';
create index record_outbox_due on record_outbox (due, id);
create unique index record_outbox_call on record_outbox (call) where call is not null;
create unique index record_outbox_line on record_outbox (group_id, line_id) where line_id is not null;

-- Off costs one look into a table of no rows. A row that waits already, perhaps in somebody's hands, is due anew: it is
-- published with what is known now. The outbox is locked last of all.
create function note_call_to_publish() returns trigger language plpgsql as $$
declare patience interval;
begin
  select wait into patience from record_publishing;
  if found then
    insert into record_outbox (call, due)
    values (new.id, clock_timestamp() + case when new.outcome = 'unknown' or new.operation = 'upload' and new.outcome = 'ok'
                                             then patience else interval '0' end)
    on conflict (call) where call is not null do update set due = excluded.due;
  end if;
  return null;
end $$;
create trigger api_calls_made after insert on api_calls
  for each row when (new.channel = 'groupme' and new.operation in ('post', 'upload') and new.record_key is null)
  execute function note_call_to_publish();
create trigger api_calls_told after update of outcome on api_calls
  for each row when (new.channel = 'groupme' and new.operation in ('post', 'upload') and new.record_key is null
                     and old.outcome = 'unknown' and new.outcome <> 'unknown')
  execute function note_call_to_publish();

-- A picture's address is told just after the call that got it.
create function note_picture_to_publish() returns trigger language plpgsql as $$
begin
  if exists (select 1 from record_publishing) then
    update record_outbox o set due = clock_timestamp() from api_calls c
    where o.call = c.id and o.due > clock_timestamp() and c.uid = new.uid and c.channel = new.channel
      and c.operation = 'upload' and c.outcome = 'ok' and c.request->>'picture' = new.n::text;
  end if;
  return null;
end $$;
create trigger pictures_told after insert or update of url on pictures
  for each row when (new.url is not null) execute function note_picture_to_publish();

create function note_line_to_publish() returns trigger language plpgsql as $$
begin
  if exists (select 1 from record_publishing) then
    insert into record_outbox (group_id, line_id) values (new.group_id, new.line_id)
    on conflict (group_id, line_id) where line_id is not null do update set due = excluded.due;
  end if;
  return null;
end $$;
create trigger groupme_callbacks_heard after insert on groupme_callbacks
  for each row when (new.learnt_by <> 'record') execute function note_line_to_publish();
create trigger groupme_callbacks_heard_too after update of learnt_by on groupme_callbacks
  for each row when (old.learnt_by = 'record' and new.learnt_by <> 'record') execute function note_line_to_publish();

-- ---- What reports read ------------------------------------------------------------------------------------------

create index api_calls_at on api_calls (at);
create index messages_received_at on messages (accepted_at) where source = 'source.twilio.sms.incoming';

create schema reports;
comment on schema reports is 'The station''s reports: set search_path = reports. Columns are called as the fields of the records and payloads are; what is sealed is null here.';

create view reports.groupme as
select c.at as timestamp,
       c.uid as wbor_message_id,
       regexp_replace(m.source, '^source\.', '') as source,
       case c.operation when 'post' then 'log' else 'img' end as type,
       c.room as bot_id,
       c.status as code,
       c.status as statuscode,
       case c.operation when 'post' then
         coalesce(c.request->>'text', (select p.text from parts p where p.delivery = c.delivery and p.n = c.part)) end as text,
       case c.operation when 'post' then
         coalesce(c.request->>'picture_url',
                  (select p.picture_url from parts p where p.delivery = c.delivery and p.n = c.part)) end as picture_url,
       case c.operation when 'upload' then
         (select p.url from pictures p where p.uid = c.uid and p.channel = c.channel and p.n::text = c.request->>'picture')
       end as raw_img
from api_calls c left join messages m on m.uid = c.uid
where c.channel = 'groupme' and c.operation in ('post', 'upload');
comment on view reports.groupme is 'Each post and each upload of a picture, ours and those that producers recorded.';
comment on column reports.groupme.wbor_message_id is 'The message''s identity: its UUID, or its uid @ its source.';
comment on column reports.groupme.source is 'Its routing key without a leading source.; null where only a failed call of it is known.';
comment on column reports.groupme.type is 'log: a post; img: an upload.';
comment on column reports.groupme.bot_id is 'The room''s name: the bot id is a secret, and in no column.';
comment on column reports.groupme.code is 'HTTP status; null where there was no answer.';
comment on column reports.groupme.statuscode is 'The same as code.';
comment on column reports.groupme.raw_img is 'The uploaded picture''s URL at GroupMe; null where it is not known, and of what producers recorded.';

create view reports.groupme_callbacks as
select g.received_at as timestamp,
       g.line_id as id,
       g.group_id,
       extract(epoch from g.created_at)::bigint as created_at,
       g.sender_type,
       g.sender_type = 'system' as system,
       null::jsonb as attachments,
       null::text as avatar_url,
       null::text as name,
       null::text as sender_id,
       null::text as user_id,
       null::text as text,
       null::text as source_guid,
       null::text as wbor_message_id,
       (select min(r.name) from rooms r where r.group_id = g.group_id) as bot_id,
       'groupme.callback'::text as source,
       'callback'::text as type,
       200::smallint as code,
       200::smallint as statuscode
from groupme_callbacks g;
comment on view reports.groupme_callbacks is 'Each line said in the rooms, once, however it was learnt. Who said what is sealed.';
comment on column reports.groupme_callbacks.created_at is 'Seconds since 1970, by GroupMe''s clock.';
comment on column reports.groupme_callbacks.attachments is 'Null: sealed.';
comment on column reports.groupme_callbacks.avatar_url is 'Null: sealed.';
comment on column reports.groupme_callbacks.name is 'Null: sealed.';
comment on column reports.groupme_callbacks.sender_id is 'Null: sealed.';
comment on column reports.groupme_callbacks.user_id is 'Null: sealed.';
comment on column reports.groupme_callbacks.text is 'Null: sealed.';
comment on column reports.groupme_callbacks.source_guid is 'Null: sealed.';
comment on column reports.groupme_callbacks.wbor_message_id is 'Null: sealed (it is the source_guid).';
comment on column reports.groupme_callbacks.bot_id is 'The name of a room of its group: the bot id is a secret, and in no column.';
comment on column reports.groupme_callbacks.statuscode is 'The same as code.';

create view reports.messages_received as
select m.accepted_at as timestamp,
       m.uid as wbor_message_id,
       'twilio'::text as source,
       'sms.incoming'::text as type,
       m.body as "Body",
       null::text as "From",
       null::text as "FromCity",
       null::text as "FromState",
       null::text as "FromZip",
       null::text as "FromCountry",
       null::text as "SenderName",
       null::text as "NumMedia",
       null::text as "MediaUrl0", null::text as "MediaUrl1", null::text as "MediaUrl2", null::text as "MediaUrl3",
       null::text as "MediaUrl4", null::text as "MediaUrl5", null::text as "MediaUrl6", null::text as "MediaUrl7",
       null::text as "MediaUrl8", null::text as "MediaUrl9",
       null::text as "MediaContentType0", null::text as "MediaContentType1", null::text as "MediaContentType2",
       null::text as "MediaContentType3", null::text as "MediaContentType4", null::text as "MediaContentType5",
       null::text as "MediaContentType6", null::text as "MediaContentType7", null::text as "MediaContentType8",
       null::text as "MediaContentType9",
       null::text as "MessageSid",
       null::text as "SmsMessageSid",
       null::text as "SmsSid",
       null::text as "AccountSid",
       null::text as "MessagingServiceSid",
       null::text as "To",
       null::text as "ToCity",
       null::text as "ToState",
       null::text as "ToZip",
       null::text as "ToCountry",
       null::text as "NumSegments",
       null::text as "ApiVersion",
       null::text as "SmsStatus"
from messages m where m.source = 'source.twilio.sms.incoming';
comment on view reports.messages_received is 'Each listener''s text. Who sent it is sealed; what Talkback has no use for is not stored.';
comment on column reports.messages_received.wbor_message_id is 'The message''s identity: its UUID, or its uid @ its source.';
comment on column reports.messages_received."Body" is 'The clean text; null where it is sealed, because it was never to be posted.';

-- Twenty and more columns with one thing to say.
do $$
declare
  field text;
begin
  for field in
    select attname from pg_attribute where attrelid = 'reports.messages_received'::regclass and attnum > 0
      and (attname ~ '^(From|Media)' or attname in ('SenderName', 'NumMedia'))
  loop
    execute format('comment on column reports.messages_received.%I is %L', field, 'Null: sealed.');
  end loop;
  for field in
    select attname from pg_attribute where attrelid = 'reports.messages_received'::regclass and attnum > 0
      and (attname ~ '^To' or attname in ('MessageSid', 'SmsMessageSid', 'SmsSid', 'AccountSid', 'MessagingServiceSid',
                                          'NumSegments', 'ApiVersion', 'SmsStatus'))
  loop
    execute format('comment on column reports.messages_received.%I is %L', field, 'Null: not stored.');
  end loop;
end $$;
