-- Pictures that lie elsewhere: fetched, and uploaded to where the chat can show them, before their message is begun.

alter table deliveries
  add column awaits_media boolean not null default false,
  add column media_since timestamptz not null default clock_timestamp(),
  add column media_until timestamptz,
  add column media_mark uuid,
  add column media_tries smallint not null default 0;
comment on column deliveries.awaits_media is 'Keeps its place in the queue, and its equals behind it, until its pictures are there or known to be missing.';
comment on column deliveries.media_since is 'From when it waits for them: accepted, or replayed.';
comment on column deliveries.media_until is 'Somebody brings its pictures until then; null: nobody does.';
comment on column deliveries.media_mark is 'Who does: a random mark of each lease, so that one who comes late changes nothing.';
comment on column deliveries.media_tries is 'How often bringing them was begun.';
-- Of each room the first few are looked at, also those that somebody is busy with.
create index deliveries_media on deliveries (room, prio desc, qseq)
  where awaits_media and state in ('queued', 'scheduled', 'held');

create table pictures (
  uid        text not null references messages,
  channel    text not null,
  n          smallint not null,
  at         timestamptz not null default clock_timestamp(),
  sha256     bytea,
  bytes      bigint,
  media_type text,
  url        text,
  missing    text,
  primary key (uid, channel, n),
  check ((url is null) <> (missing is null))
);
comment on table pictures is 'What became of each picture that had to be brought: by hash, size and type, not by content.';
comment on column pictures.channel is 'The chat it was brought to.';
comment on column pictures.n is 'Its place among the message''s media, from 1.';
comment on column pictures.sha256 is 'Of the content; null where none was got.';
comment on column pictures.bytes is 'Length of the content.';
comment on column pictures.media_type is 'By its first bytes, whatever its server said.';
comment on column pictures.url is 'Where it lies with the chat''s provider: uploaded once, used by every try.';
comment on column pictures.missing is 'Why it could not be brought, in one word.';
