-- The chat as console: what was typed, who is banned, what is muted, and text that only the room may read.

create table commands (
  group_id      text not null,
  line_id       text not null,
  at            timestamptz not null default clock_timestamp(),
  room          text not null,
  command       text,
  author_hash   bytea not null,
  author_sealed bytea not null,
  state         text not null default 'due' check (state in ('due', 'done', 'told')),
  handed        boolean not null default false,
  outcome       text,
  reply_sealed  bytea,
  primary key (group_id, line_id)
);
comment on table commands is 'Each line that was a command, once: who typed it, and what came of it. Its words are in the sealed line.';
comment on column commands.line_id is 'GroupMe''s id of the line, with group_id: the line in groupme_callbacks.';
comment on column commands.command is 'Its name; null for a word that is no command of ours.';
comment on column commands.author_hash is 'Keyed hash of the member''s user id: commands are counted by it.';
comment on column commands.author_sealed is 'Sealed JSON: user id and name.';
comment on column commands.state is 'due; done: its effect is there and its reply is not accepted yet; told.';
comment on column commands.handed is 'Whoever heard it leaves it to the dispatcher: it has to ask somebody who may be slow.';
comment on column commands.outcome is 'done, usage, unknown, refused, none (nothing to do), warned, ignored, stale, unproved or failed.';
comment on column commands.reply_sealed is 'Sealed text of what is answered; null where nothing is.';
create index commands_author on commands (author_hash, at);
create index commands_at on commands (at);
create index commands_open on commands (at) where state <> 'told';

create table bans (
  id               bigint generated always as identity primary key,
  sender_hash      bytea not null,
  sender_sealed    bytea,
  banned_at        timestamptz not null default clock_timestamp(),
  banned_by_sealed bytea not null,
  reason_sealed    bytea,
  until            timestamptz,
  lifted_at        timestamptz,
  lifted_by_sealed bytea
);
comment on table bans is 'Each ban of a sender, kept for ever: a sender is banned while one is neither lifted nor over.';
comment on column bans.sender_hash is 'Keyed hash of the address, as in messages.';
comment on column bans.sender_sealed is 'Sealed address; null once the person was erased.';
comment on column bans.banned_by_sealed is 'Sealed JSON of who banned: user id and name, or the source.';
comment on column bans.reason_sealed is 'Sealed text of why.';
comment on column bans.until is 'When it ends by itself; null: when it is lifted.';
comment on column bans.lifted_at is 'When it was lifted, or closed because its term had ended when the next one began.';
comment on column bans.lifted_by_sealed is 'Who lifted it; null where its term had ended.';
create unique index bans_open on bans (sender_hash) where lifted_at is null;

-- A ban finds what its sender has queued, and people ask for one sender's messages.
create index messages_sender on messages (sender_hash, accepted_at) where sender_hash is not null;

alter table parts add column text_sealed bytea;
comment on column parts.text_sealed is 'Sealed text of what only the room may read; text is empty then, and fingerprint a keyed hash.';

-- What people ask for in the chat: what did not reach its room, the latest first.
drop index deliveries_trouble;
create index deliveries_trouble on deliveries (room, id) where state in ('failed', 'expired', 'unconfirmed');

create table mutes (
  id              bigint generated always as identity primary key,
  pattern         text not null,
  matches         text not null,
  room            text not null,
  muted_at        timestamptz not null default clock_timestamp(),
  muted_by_sealed bytea not null,
  until           timestamptz,
  ended_at        timestamptz,
  ended_by_sealed bytea,
  told            boolean not null default false
);
comment on table mutes is 'Sources whose normal and high messages are held: while one is neither ended nor over, and for ever as history.';
comment on column mutes.pattern is 'A topic pattern, as it was typed.';
comment on column mutes.matches is 'The same as a regular expression for a source with a dot behind it.';
comment on column mutes.room is 'The room where it was typed, and is told what was held.';
comment on column mutes.muted_at is 'When it began.';
comment on column mutes.muted_by_sealed is 'Sealed JSON of who muted: user id and name.';
comment on column mutes.ended_by_sealed is 'Who ended it; null where its term had ended.';
comment on column mutes.until is 'When it ends by itself; null: when somebody ends it.';
comment on column mutes.ended_at is 'When somebody ended it, or its end was told.';
comment on column mutes.told is 'The room was told how many were held.';
create unique index mutes_open on mutes (pattern) where ended_at is null;

alter table deliveries add column held_by bigint;
comment on column deliveries.held_by is 'The mute that held it, also when that is over.';
create index deliveries_held_by on deliveries (held_by) where held_by is not null;
-- What is due at once enters the queue in its old order.
drop index deliveries_due;
create index deliveries_due on deliveries (due_at, qseq) where state in ('scheduled', 'held');

alter table groupme_callbacks add column deleted_at timestamptz;
comment on column groupme_callbacks.deleted_at is 'When GroupMe told that the line was deleted.';
