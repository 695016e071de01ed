//! Migrations: numbered SQL, forward only, with checksums.
use super::connection::{Store, StoreError};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// The number of the last migration. Not asked of refinery: that would bring its parser into every function.
const KNOWN: i32 = 8;

/// Held while migrating: refinery takes no lock of its own.
const LOCK: i64 = 0x7461_6c6b_6261_636b;

/// What a database is, beside what this program wants.
#[derive(Debug, Clone)]
pub struct Version {
    /// PostgreSQL's own version.
    pub server: String,
    /// The number of the last migration that it has; `None` where it has none.
    pub applied: Option<i32>,
    /// The number of the last that this program knows.
    pub known: i32,
    /// How far its clock is ahead of ours, in seconds.
    pub ahead: f64,
}

impl Store {
    /// Which version the database has. Changes nothing.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn version(&self) -> Result<Version, StoreError> {
        let client = self.connection().await?;
        let asked = std::time::SystemTime::now();
        let told = client
            .query_one(
                "select current_setting('server_version'), extract(epoch from clock_timestamp())::float8,
                        to_regclass('refinery_schema_history') is not null",
                &[],
            )
            .await?;
        let answered = std::time::SystemTime::now();
        let ours =
            |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
        let applied = if told.try_get(2)? {
            client.query_one("select max(version) from refinery_schema_history", &[]).await?.try_get(0)?
        } else {
            None
        };
        Ok(Version {
            server: told.try_get(0)?,
            applied,
            known: KNOWN,
            ahead: told.try_get::<_, f64>(1)? - f64::midpoint(ours(asked), ours(answered)),
        })
    }

    /// Applies what is missing and returns its names. Two at once wait for each other.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let mut client = self.connection().await?;
        // A migration may take longer than a statement of every day.
        client.batch_execute("set statement_timeout = 0; set lock_timeout = 0").await?;
        client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
        let connection: &mut tokio_postgres::Client = &mut client;
        let applied = embedded::migrations::runner().run_async(connection).await;
        // The connection goes with its settings and the lock.
        drop(deadpool_postgres::Object::take(client));
        let report = applied.map_err(|error| match error.kind() {
            refinery::error::Kind::DivergentVersion(..) | refinery::error::Kind::MissingVersion(_) => {
                StoreError::Settings("the database holds other migrations than this version knows")
            }
            _ => StoreError::Unavailable("a migration failed"),
        })?;
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_migration_is_known_by_its_number() {
        let last = embedded::migrations::runner().get_migrations().iter().map(|known| known.version()).max();
        assert_eq!(last, Some(KNOWN));
    }
}
