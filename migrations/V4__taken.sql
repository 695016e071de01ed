-- Producers that are told early, and what becomes of messages that they took over.

alter table messages add column taken boolean not null default false;
comment on column messages.taken is 'Its producer has been told that the first part is in the room, while others are still to come: it never takes over.';

alter table deliveries add column alarm uuid;
comment on column deliveries.alarm is 'Left to its producer, which told nothing in time: names the line of ours that says so in the room, for all that it says it of.';
comment on column deliveries.told is 'The room has been told: that this urgent message expired, or that its producer took it over and told nothing.';
-- What was taken over before is past.
update deliveries set told = true where state = 'withdrawn';
create index deliveries_left on deliveries (deliver_by)
  where state = 'withdrawn' and deliver_by is not null and not told;
create index deliveries_unrecorded on deliveries (room, id) where state = 'withdrawn' and alarm is not null and told;

-- Retention finds what is old by its time, and what it has trimmed no more.
create index api_calls_bodies on api_calls (at) where request is not null or response is not null;
create index delivery_events_at on delivery_events (at);
