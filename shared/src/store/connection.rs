//! The pool of connections: lazy, checked after idling, thrown away on any error; everything under a time limit.
use std::future::Future;
use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod,
    Runtime,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Statement;
use crate::telemetry::metrics;

/// Before a statement that was ended for a deadlock is done again.
const AFTER_DEADLOCK: Duration = Duration::from_millis(50);

/// Why a statement did not work. Never quotes a value: Postgres's own messages and details do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it was lost, or no answer in time: the statement may or may not have been done.
    #[error("the database is unavailable: {0}")]
    Unavailable(&'static str),
    /// The database refused the statement.
    #[error("the database refused: SQLSTATE {code}, table {table}, column or constraint {at}")]
    Refused {
        /// The five characters of SQLSTATE.
        code: String,
        /// The table it concerns, or `?`.
        table: String,
        /// The column or constraint it concerns, or `?`.
        at: String,
    },
    /// The database's URL or CA file is wrong.
    #[error("{0}")]
    Settings(&'static str),
    /// An answer of the database does not have the expected form.
    #[error("the database's answer lacks {0}")]
    Answer(&'static str),
}

impl StoreError {
    /// Whether a part of the input is what the database refused (classes 22, 23, 54): halving finds it.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if ["22", "23", "54"].contains(&&code[..2.min(code.len())]))
    }

    fn is_deadlock(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == SqlState::T_R_DEADLOCK_DETECTED.code())
    }

    /// The connection had died: another one may do.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Unavailable(CLOSED | FAILED | SHUT_DOWN))
    }

    /// It may have been done, or may yet be: not where no connection could be had, and nothing was sent, nor where the
    /// database itself says that it cannot.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.may_pass() && !matches!(self, Self::Unavailable(NOT_CONNECTED | NO_LOGIN | NO_RESOURCES | READ_ONLY))
    }

    /// Whether the same statement may succeed later: the database was away or busy (class 40: it chose a victim).
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_)) || matches!(self, Self::Refused { code, .. } if code.starts_with("40"))
    }
}

const CLOSED: &str = "connection closed";
const FAILED: &str = "connection failed";
const SHUT_DOWN: &str = "shut down";
const NOT_CONNECTED: &str = "no connection in time";
const NO_RESOURCES: &str = "insufficient resources";
const READ_ONLY: &str = "read only";
const NO_LOGIN: &str = "it lets nobody in";

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self::Unavailable(if error.is_closed() { CLOSED } else { FAILED });
        };
        // Classes 08 (connection), 53 (resources), 57 (operator intervention, time-outs), 25006 (read only): down, not wrong.
        let code = db.code().code();
        match &code[..2] {
            "08" => Self::Unavailable("connection exception"),
            "53" => Self::Unavailable(NO_RESOURCES),
            "57" if *db.code() == SqlState::QUERY_CANCELED => Self::Unavailable("timed out"),
            "57" => Self::Unavailable(SHUT_DOWN),
            // Also what it has no word for, such as a file that may not grow.
            "58" | "XX" => Self::Unavailable("system error"),
            _ if *db.code() == SqlState::READ_ONLY_SQL_TRANSACTION => Self::Unavailable(READ_ONLY),
            _ if *db.code() == SqlState::LOCK_NOT_AVAILABLE => Self::Unavailable("a lock was not given in time"),
            _ => Self::Refused {
                code: code.to_owned(),
                table: db.table().unwrap_or("?").to_owned(),
                at: db.column().or(db.constraint()).unwrap_or("?").to_owned(),
            },
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            // A password that was changed, a database that is gone: whatever it says, it cannot be connected to.
            PoolError::Backend(e) => match e.into() {
                refused @ Self::Refused { .. } => {
                    tracing::error!(error = &refused as &dyn std::error::Error, "the database lets nobody in");
                    Self::Unavailable(NO_LOGIN)
                }
                away => away,
            },
            PoolError::Timeout(_) => Self::Unavailable(NOT_CONNECTED),
            _ => Self::Unavailable("no connection"),
        }
    }
}

/// The database, as the relay sees it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    patience: Duration,
}

/// A connection for one exchange. It goes back to the pool only by [`Store::finish`]. An exchange that was dropped
/// half-way, because its caller ran out of patience, may have left a transaction open: whatever came next on that
/// connection would never be committed, and its locks would stay. So it is closed instead.
pub(crate) struct Lent(Option<Object>);

impl Deref for Lent {
    type Target = ClientWrapper;

    #[expect(clippy::expect_used, reason = "only finish and drop empty it, and both end it")]
    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("not given back yet")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// How long a connection may idle before it is asked whether it still lives: a Lambda environment may have been
/// frozen since, and a dead peer looks alive until it is spoken to.
const IDLE: Duration = Duration::from_secs(2);

const WRITABLE: &str = "
select pg_is_in_recovery() or current_setting('transaction_read_only')::bool,
to_regclass('messages') is not null";

pub(super) const STATEMENTS: &[Statement] = &[("writable", WRITABLE)];

impl Store {
    /// Prepares the pool; connects to nothing yet. `statement_timeout` holds on the server; we wait two seconds more,
    /// so that what was sent to a server that froze is not still running when we give up. `ca_file` holds PEM.
    pub fn new(
        url: &SecretString,
        ca_pem: Option<&[u8]>,
        statement_timeout: Duration,
        connections: usize,
    ) -> Result<Self, StoreError> {
        let mut config: tokio_postgres::Config =
            url.expose_secret().parse().map_err(|_| StoreError::Settings("DATABASE_URL cannot be parsed"))?;
        let loopback = |h: &Host| matches!(h, Host::Tcp(n) if n == "localhost" || n.starts_with("127.") || n == "::1");
        let local = config.get_hosts().iter().all(|h| loopback(h) || !matches!(h, Host::Tcp(_)));
        if !local && config.get_ssl_mode() == SslMode::Prefer {
            // "Prefer" would fall back to plain text without a word.
            config.ssl_mode(SslMode::Require);
        }
        config.connect_timeout(Duration::from_secs(3)).application_name("talkback");
        let tls = match ca_pem {
            Some(pem) => crate::tls::client_with(pem).map_err(StoreError::Settings)?,
            None => crate::tls::web_client(),
        };
        let tls = MakeRustlsConnect::new(tls);
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let settings = format!(
            "set statement_timeout = {ms}; set idle_in_transaction_session_timeout = {ms}; set lock_timeout = {ms}; \
             set timezone = 'UTC'; set jit = off",
            ms = statement_timeout.as_millis()
        );
        let pool = Pool::builder(manager)
            .max_size(connections)
            // The one used last: what its server process has in its caches is warm.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(Duration::from_secs(4)))
            .wait_timeout(Some(statement_timeout))
            .recycle_timeout(Some(Duration::from_secs(2)))
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
            }))
            .pre_recycle(Hook::async_fn(|client, metrics| {
                Box::pin(async move {
                    if metrics.last_used() < IDLE {
                        return Ok(());
                    }
                    match timeout(Duration::from_secs(1), client.simple_query("")).await {
                        Ok(Ok(_)) => Ok(()),
                        _ => Err(HookError::message("dead")),
                    }
                })
            }))
            .build()
            .map_err(|_| StoreError::Settings("the pool cannot be built"))?;
        Ok(Self { pool, patience: statement_timeout + Duration::from_secs(2) })
    }

    /// A connection for one exchange; to be given to [`Store::finish`] with how it ended.
    pub(crate) async fn client(&self) -> Result<Lent, StoreError> {
        // The pool's own limits leave out the settings of a new connection: a server that froze there would never let go.
        match timeout(self.patience, self.pool.get()).await {
            Ok(object) => Ok(Lent(Some(object?))),
            Err(_) => Err(StoreError::Unavailable(NOT_CONNECTED)),
        }
    }

    /// The same store, with less patience for each exchange: for a door behind which an alarm may wait.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { pool: self.pool.clone(), patience: patience.min(self.patience) }
    }

    /// How long one exchange may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Trusts no connection made before: the next exchange makes a new one.
    pub(crate) fn forget_connections(&self) {
        self.pool.retain(|_, _| false);
    }

    /// Whether a new connection can be made.
    pub(crate) async fn connects(&self) -> bool {
        self.forget_connections();
        match self.client().await {
            Ok(client) => Self::finish(client, Ok(())).is_ok(),
            Err(_) => false,
        }
    }

    /// Has a connection ready for the next exchange, if one can be made.
    pub(crate) async fn warm(&self) {
        if let Ok(client) = self.client().await {
            drop(Self::finish(client, Ok(())));
        }
    }

    /// Runs one exchange under the time limit.
    pub(crate) async fn limit<T>(
        &self,
        exchange: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(self.patience, exchange).await.unwrap_or(Err(StoreError::Unavailable("no answer in time")))
    }

    /// Gives the connection back; one that erred or kept silent is not used again.
    pub(crate) fn finish<T>(mut client: Lent, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if !matches!(result, Err(StoreError::Unavailable(_))) {
            drop(client.0.take());
        }
        result
    }

    /// Does it once more, for every statement is idempotent: if it was the victim of a deadlock, or if its connection
    /// had died (the server restarted while this process was frozen or idle, say): then its fellows in the pool are
    /// not trusted either. A time-out is not repeated here: it would double the load of a server that is slow.
    pub(crate) async fn again<T, F, Fut>(&self, attempt: F) -> Result<T, StoreError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let result = match attempt().await {
            Err(error) if error.is_deadlock() => {
                // Whoever it was ended for is only just being woken: done again at once, it may take the lock before that
                // one has it, and both stand as they stood.
                tokio::time::sleep(AFTER_DEADLOCK).await;
                attempt().await
            }
            Err(error) if error.is_lost() => {
                self.forget_connections();
                attempt().await
            }
            other => other,
        };
        if matches!(result, Err(StoreError::Unavailable(_))) {
            metrics::DEPENDENCY_ERRORS.increment(&["postgres"]);
        }
        result
    }

    /// Runs one prepared statement.
    pub(crate) async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        self.again(|| self.rows_once(sql, params)).await
    }

    async fn rows_once(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let client = self.client().await?;
        let result = self
            .limit(async {
                let statement = client.prepare_cached(sql).await?;
                Ok(client.query(&statement, params).await?)
            })
            .await;
        Self::finish(client, result)
    }

    /// A connection of its own, for migrations and tests.
    pub async fn connection(&self) -> Result<Object, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// Whether a message sent now would be stored: the tables are there and can be written.
    pub async fn writable(&self) -> Result<(), StoreError> {
        let rows = self.rows(WRITABLE, &[]).await?;
        let row = rows.first().ok_or(StoreError::Answer("a row"))?;
        match (row.try_get::<_, bool>(0)?, row.try_get::<_, bool>(1)?) {
            (true, _) => Err(StoreError::Unavailable(READ_ONLY)),
            (_, false) => Err(StoreError::Unavailable("not migrated")),
            _ => Ok(()),
        }
    }
}
