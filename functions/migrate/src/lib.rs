//! Migrations and topology, from inside the network where the database and the broker are.
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use talkback::broker::BrokerError;
use talkback::relay::Relay;
use talkback::store::StoreError;

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Of the database.
    #[error("migrations: {0}")]
    Store(#[source] StoreError),
    /// Of the broker.
    #[error("topology: {0}")]
    Broker(#[source] BrokerError),
    /// There is no broker to declare it on.
    #[error("AMQP_URL: missing; without a broker invoke with {{\"topology\": false}}")]
    NoBroker,
    /// The payload.
    #[error("topology: must be true or false")]
    Payload,
}

/// Brings the database and the broker to this version; doing it again changes nothing. `{"topology": false}` leaves
/// the broker alone.
///
/// # Errors
/// Which of the two failed, and why.
pub async fn handle(relay: &Relay, event: LambdaEvent<Value>) -> Result<Value, MigrateError> {
    let wanted = match event.payload.get("topology") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(wanted)) => *wanted,
        Some(_) => return Err(MigrateError::Payload),
    };
    let applied = relay.store.migrate().await.map_err(MigrateError::Store)?;
    relay.wake().await.map_err(MigrateError::Store)?;
    if wanted {
        let broker = relay.broker.as_ref().ok_or(MigrateError::NoBroker)?;
        broker
            .declare(&relay.settings.exchanges, relay.settings.lanes.retry_ttl)
            .await
            .map_err(MigrateError::Broker)?;
    }
    tracing::info!(applied = applied.len(), topology = wanted, "migrated");
    Ok(json!({ "applied": applied, "topology": wanted }))
}
