-- Pictures that lie elsewhere: fetched, and uploaded to where the chat can show them, before their message is begun.

alter table messages
  add column media_due timestamptz,
  add column media_tries smallint not null default 0;
comment on column messages.media_due is 'From when somebody may bring its pictures; ahead of now while somebody does; null where none are to be brought.';
comment on column messages.media_tries is 'How often bringing them was begun: also the mark of who does it now.';
create index messages_media on messages (media_due) where media_due is not null;

alter table deliveries add column awaits_media boolean not null default false;
comment on column deliveries.awaits_media is 'Keeps its place in the queue, and its equals behind it, until its pictures are there or known to be missing.';

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
