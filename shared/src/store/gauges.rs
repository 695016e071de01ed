//! What is measured rather than counted.
use super::look_up::RoomState;
use super::{Statement, Store, StoreError};

/// Of each room: since when it is not open, whether its address is wrong, when the chat last called back, and how many
/// deliveries of a day failed or were never confirmed. The newest thousand are looked at, from an index of those alone.
const ROOMS: &str = "
select r.name, case when r.state = 'open' then 0 else extract(epoch from clock_timestamp() - r.state_since) end::float8,
       r.state = 'suspended', extract(epoch from clock_timestamp() - r.heard_at)::float8, f.n, u.n
from rooms r
cross join lateral (
  select count(*) as n
  from (select d.id from deliveries d where d.room = r.name and d.state = 'failed' order by d.id desc limit 1000) x
  where exists (select 1 from delivery_events e where e.delivery = x.id and e.at > clock_timestamp() - interval '1 day')) f
cross join lateral (
  select count(*) as n
  from (select d.id from deliveries d where d.room = r.name and d.state = 'unconfirmed' order by d.id desc limit 1000) x
  where exists (select 1 from delivery_events e where e.delivery = x.id and e.at > clock_timestamp() - interval '1 day')) u
where r.name = any($1)";

const SERVER: &str = "
select (select count(*) from pg_stat_activity)::float8, current_setting('max_connections')::float8,
       pg_database_size(current_database())::float8";

pub(super) const STATEMENTS: &[Statement] = &[("gauges_rooms", ROOMS), ("gauges_server", SERVER)];

/// How one room is.
#[derive(Debug, Clone)]
pub struct RoomGauges {
    /// Its name.
    pub room: String,
    /// Seconds since it was paused or suspended; 0 where it is open.
    pub paused: f64,
    /// The chat does not know its bot.
    pub suspended: bool,
    /// Seconds since the last callback.
    pub callback_age: Option<f64>,
    /// Deliveries of the last day that failed.
    pub failed: i64,
    /// Deliveries of the last day that nobody confirmed.
    pub unconfirmed: i64,
}

/// Everything that the database can tell.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// The rooms.
    pub rooms: Vec<RoomGauges>,
    /// What waits in them.
    pub queues: Vec<(String, i64, f64)>,
    /// Seconds since each function last ran.
    pub functions: Vec<(String, f64)>,
    /// Sessions, how many there may be, and bytes.
    pub server: (f64, f64, f64),
}

impl Store {
    /// Measures these rooms, and the database itself.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn gauges(&self, rooms: &[String]) -> Result<Gauges, StoreError> {
        let named: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&rooms];
        let (of_rooms, states, functions, server) = tokio::try_join!(
            self.rows(ROOMS, &named),
            self.room_states(rooms),
            self.functions_seen(),
            self.rows(SERVER, &[])
        )?;
        let room = |row: &tokio_postgres::Row| -> Result<RoomGauges, StoreError> {
            Ok(RoomGauges {
                room: row.try_get(0)?,
                paused: row.try_get(1)?,
                suspended: row.try_get(2)?,
                callback_age: row.try_get(3)?,
                failed: row.try_get(4)?,
                unconfirmed: row.try_get(5)?,
            })
        };
        let server = server.first().ok_or(StoreError::Answer("a row"))?;
        let queue = |state: RoomState| (state.name, state.queued, state.oldest_s.unwrap_or_default());
        Ok(Gauges {
            rooms: of_rooms.iter().map(room).collect::<Result<_, _>>()?,
            queues: states.into_iter().map(queue).collect(),
            functions,
            server: (server.try_get(0)?, server.try_get(1)?, server.try_get(2)?),
        })
    }
}
