-- The console, mended: mutes that let go in order, hours that are noted whatever is marked, and indexes of what is asked.

-- What a mute holds is let go by the mute alone: its row says when, and no delivery does.
alter table mutes add column let_go boolean not null default false;
comment on column mutes.let_go is 'It is over, and nothing of it is held any more: until then what comes of its sources goes behind what is held.';
create index mutes_holding on mutes (id) where not let_go;
create index deliveries_held on deliveries (held_by, qseq) where state = 'held';

-- What a mute holds does not expire: its age begins when it is let go.
drop index deliveries_expiry;
create index deliveries_expiry on deliveries (expires_at) where state in ('queued', 'scheduled');

-- What expired may be much, and who asks for what failed must not read it.
drop index deliveries_trouble;
create index deliveries_trouble on deliveries (room, id) where state in ('failed', 'unconfirmed');
create index deliveries_expired on deliveries (room, id) where state = 'expired';

create table stats_noted (
  one  boolean primary key default true check (one),
  hour timestamptz not null
);
comment on table stats_noted is 'How far hours that are over have been noted in stats_due. Empty at first: all are noted once more, also those that were skipped where a later hour had been marked before them.';
comment on column stats_noted.one is 'Always true: there is one row at most.';
comment on column stats_noted.hour is 'The latest that was noted.';

-- A command whose function died between storing its line and its command.
create index groupme_callbacks_commands on groupme_callbacks (received_at) where command is not null;

-- Whether a line that is to be published is private.
create index parts_private on parts (fingerprint) where text_sealed is not null;
