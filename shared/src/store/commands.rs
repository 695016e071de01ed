//! Commands typed in the room: each is done once. Its effect, its outcome and what is answered are one transaction,
//! behind the lock of its row; who comes second finds it done.
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Statement;
use super::connection::{Lent, Store, StoreError};

/// A command that was typed.
pub struct Typed<'a> {
    /// The group.
    pub group: &'a str,
    /// GroupMe's id of the line.
    pub line: &'a str,
    /// The room.
    pub room: &'a str,
    /// Its name, if it is one of ours.
    pub command: Option<&'static str>,
    /// Keyed hash of its author's user id.
    pub author_hash: &'a [u8],
    /// Sealed: user id and name.
    pub author_sealed: &'a [u8],
}

/// Where a command stands.
pub struct Standing {
    /// due, done or told.
    pub state: String,
    /// What is answered, sealed.
    pub reply_sealed: Option<Vec<u8>>,
    /// How many its author typed within a minute up to this one.
    pub in_a_minute: i64,
    /// Whether the author was told about that minute that these are too many.
    pub warned: bool,
    /// How long ago it was typed, as far as is known here.
    pub age: Duration,
}

/// What came of a command.
pub struct Done<'a> {
    /// One word.
    pub outcome: &'static str,
    /// What is answered, sealed.
    pub reply_sealed: Option<&'a [u8]>,
}

const TYPED: &str = "
insert into commands (group_id, line_id, room, command, author_hash, author_sealed)
values ($1, $2, $3, $4, $5, $6) on conflict do nothing";

/// Locks the row: whoever comes second waits, and finds it done.
const STANDING: &str = "
select c.state, c.reply_sealed,
  (select count(*) from commands o where o.author_hash = c.author_hash and o.at between c.at - interval '1 min' and c.at)
    as in_a_minute,
  exists (select 1 from commands o where o.author_hash = c.author_hash and o.outcome = 'warned'
            and o.at between c.at - interval '1 min' and c.at + interval '1 min') as warned,
  extract(epoch from clock_timestamp() - c.at)::float8 as age
from commands c where c.group_id = $1 and c.line_id = $2 for no key update of c";

/// Who warns a person has this lock until the warning is committed. By the first byte of the author's hash.
const LOCK_AUTHOR: &str = "select pg_advisory_xact_lock(10, $1::int4)";

const DONE: &str = "
update commands set state = case when $4::bytea is null then 'told' else 'done' end, outcome = $3, reply_sealed = $4
where group_id = $1 and line_id = $2 and state = 'due'";

const HAND: &str = "update commands set handed = true where group_id = $1 and line_id = $2 and state = 'due'";

const TOLD: &str = "update commands set state = 'told' where group_id = $1 and line_id = $2 and state = 'done'";

/// What the function that heard it left, or did not finish in two seconds; also what it did not come to write down as a
/// command, as long as it would be obeyed. Its line is there, for it was stored first.
const OPEN: &str = "
select o.group_id, o.line_id, l.payload_sealed from (
  select group_id, line_id, at from commands
  where state <> 'told' and (handed or at < (select clock_timestamp()) - interval '2 s')
  union all
  select g.group_id, g.line_id, g.received_at from groupme_callbacks g
  where g.command is not null and g.received_at > (select clock_timestamp()) - interval '5 min'
    and g.received_at < (select clock_timestamp()) - interval '2 s'
    and not exists (select 1 from commands c where c.group_id = g.group_id and c.line_id = g.line_id)) o
join groupme_callbacks l using (group_id, line_id) order by o.at limit 100";

pub(super) const STATEMENTS: &[Statement] = &[
    ("typed", TYPED),
    ("standing", STANDING),
    ("lock_author", LOCK_AUTHOR),
    ("command_done", DONE),
    ("command_handed", HAND),
    ("command_told", TOLD),
    ("open_commands", OPEN),
];

/// One transaction in which a command does its work.
pub struct Turn {
    client: Lent,
    store: Store,
}

impl Turn {
    /// Runs one prepared statement.
    pub(super) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.store
            .limit(async {
                let statement = self.client.prepare_cached(sql).await?;
                Ok(self.client.query(&statement, params).await?)
            })
            .await
    }

    /// Commits what was done, or rolls it back where it failed.
    ///
    /// # Errors
    /// That of the work; or the commit's, after which the work may be there or not.
    pub async fn end<T>(self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let Self { client, store } = self;
        let word = if result.is_ok() { "commit" } else { "rollback" };
        let ended = store.limit(async { Ok(client.batch_execute(word).await?) }).await;
        Store::finish(client, ended.and(result))
    }

    /// Where the command stands; nobody else touches it until the end of this turn.
    pub async fn standing(&self, group: &str, line: &str) -> Result<Standing, StoreError> {
        let rows = self.rows(STANDING, &[&group, &line]).await?;
        let row = rows.first().ok_or(StoreError::Answer("the command"))?;
        Ok(Standing {
            state: row.try_get("state")?,
            reply_sealed: row.try_get("reply_sealed")?,
            in_a_minute: row.try_get("in_a_minute")?,
            warned: row.try_get("warned")?,
            age: Duration::try_from_secs_f64(row.try_get::<_, f64>("age")?.max(0.0)).unwrap_or_default(),
        })
    }

    /// Waits for whoever warns the author of this hash: then [`Turn::standing`] tells whether it was done.
    pub async fn lock_author(&self, author_hash: &[u8]) -> Result<(), StoreError> {
        let lock = author_hash.first().copied().map_or(0, i32::from);
        self.rows(LOCK_AUTHOR, &[&lock]).await.map(drop)
    }

    /// Notes what came of it.
    pub async fn done(&self, group: &str, line: &str, done: &Done<'_>) -> Result<(), StoreError> {
        self.rows(DONE, &[&group, &line, &done.outcome, &done.reply_sealed]).await.map(drop)
    }
}

impl Store {
    /// Stores a command; a repeat changes nothing.
    pub async fn typed(&self, typed: &Typed<'_>) -> Result<(), StoreError> {
        let params: [&(dyn ToSql + Sync); 6] =
            [&typed.group, &typed.line, &typed.room, &typed.command, &typed.author_hash, &typed.author_sealed];
        self.rows(TYPED, &params).await.map(drop)
    }

    /// Begins a turn. One that is dropped without [`Turn::end`] is rolled back with its connection.
    pub async fn begin(&self) -> Result<Turn, StoreError> {
        let client = self.client().await?;
        let begun = self.limit(async { Ok(client.batch_execute("begin").await?) }).await;
        match begun {
            Ok(()) => Ok(Turn { client, store: self.clone() }),
            Err(error) => Self::finish(client, Err(error)),
        }
    }

    /// Leaves a command to the dispatcher.
    pub async fn hand_over(&self, group: &str, line: &str) -> Result<(), StoreError> {
        self.rows(HAND, &[&group, &line]).await.map(drop)
    }

    /// Notes that the answer of a command is accepted.
    pub async fn command_told(&self, group: &str, line: &str) -> Result<(), StoreError> {
        self.rows(TOLD, &[&group, &line]).await.map(drop)
    }

    /// Commands that wait for somebody to finish them: group, line, and the sealed line, unless it was erased.
    pub async fn open_commands(&self) -> Result<Vec<(String, String, Option<Vec<u8>>)>, StoreError> {
        let rows = self.rows(OPEN, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
    }
}
