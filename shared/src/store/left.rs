//! What was left to its producers: withdrawn, because they post by themselves, and no record came that they did.
use std::time::Duration;

use uuid::Uuid;

use super::Statement;
use super::connection::{Store, StoreError};

/// Messages of one room of which no record came, to be told in one line.
pub struct Left {
    /// Names the line.
    pub alarm: Uuid,
    /// The room.
    pub room: String,
    /// How many they are.
    pub count: i64,
    /// What people call the first few.
    pub short_uids: Vec<String>,
    /// Where the first came from.
    pub source: String,
}

/// Gives all that are late now one line a room, so that what the line says of whom is settled before it is said:
/// whoever says it, or says it again after a crash, says it by the same name. Waits for nobody. The time is counted
/// from when it was withdrawn: a record that waited in the same queue comes after it.
const NAME: &str = "
with late as materialized (
  select d.id, d.room from deliveries d
  where d.state = 'withdrawn' and d.deliver_by is not null and not d.told and d.alarm is null
    and d.deliver_by <= (select clock_timestamp() - make_interval(secs => $1))
    and not exists (select 1 from delivery_events e where e.delivery = d.id and e.new_state = 'withdrawn'
                    and e.at > (select clock_timestamp() - make_interval(secs => $1)))
  order by d.deliver_by limit 1000 for no key update of d skip locked),
line as materialized (select room, gen_random_uuid() as alarm from late group by room)
update deliveries d set alarm = line.alarm from late join line using (room) where d.id = late.id";

const TO_TELL: &str = "
select d.alarm, d.room, count(*) as count, (array_agg(m.short_uid order by d.id))[1:5] as short_uids,
       (array_agg(m.source order by d.id))[1] as source
from deliveries d join messages m using (uid)
where d.state = 'withdrawn' and d.deliver_by is not null and not d.told and d.alarm is not null
group by d.alarm, d.room order by min(d.id) limit 100";

const TOLD: &str = "
update deliveries set told = true
where state = 'withdrawn' and deliver_by is not null and not told and alarm = $1";

pub(super) const STATEMENTS: &[Statement] = &[("name_left", NAME), ("left_untold", TO_TELL), ("left_told", TOLD)];

impl Store {
    /// What was withdrawn longer than `within` ago because its producer took over, of which there is no record, and of
    /// which its room has not been told.
    pub async fn left(&self, within: Duration) -> Result<Vec<Left>, StoreError> {
        self.rows(NAME, &[&within.as_secs_f64()]).await?;
        let rows = self.rows(TO_TELL, &[]).await?;
        rows.iter()
            .map(|r| {
                Ok(Left {
                    alarm: r.try_get("alarm")?,
                    room: r.try_get("room")?,
                    count: r.try_get("count")?,
                    short_uids: r.try_get("short_uids")?,
                    source: r.try_get("source")?,
                })
            })
            .collect()
    }

    /// Notes that the room has been told by this line.
    pub async fn left_told(&self, alarm: Uuid) -> Result<(), StoreError> {
        self.rows(TOLD, &[&alarm]).await.map(drop)
    }
}
