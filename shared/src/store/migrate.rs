//! Migrations: numbered SQL, forward only, with checksums.
use super::connection::{Store, StoreError};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// Held while migrating: refinery takes no lock of its own.
const LOCK: i64 = 0x7461_6c6b_6261_636b;

impl Store {
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
