-- Producers that are told early, and what becomes of messages that they took over.

alter table messages add column taken boolean not null default false;
comment on column messages.taken is 'Its producer has been told that the first part is in the room, while others are still to come: it never takes over.';
