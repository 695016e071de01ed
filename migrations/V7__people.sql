-- People who were erased: of the lines that showed their words only that they were said stays.

alter table groupme_callbacks alter column payload_sealed drop not null;
comment on column groupme_callbacks.payload_sealed is 'Sealed JSON as it came, with its people''s names; null once the person was erased whose words it shows.';
comment on column messages.sender_hash is 'Keyed hash of the sender''s address, for look-ups and counts; stays when that person is erased.';
comment on column messages.sender_sealed is 'Sealed JSON: address, name, place; null beside a sender_hash: that person was erased, and nothing of this message is left to post.';
comment on column pictures.missing is 'Why it could not be brought, in one word; erased: it was, and its sender was erased.';
comment on column bans.banned_at is 'When; a ban that is given again keeps it.';
