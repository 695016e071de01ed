//! Migrations and topology, from inside the network where the database and the broker are: invoked by hand, or by a
//! stack of CloudFormation as its custom resource.
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use talkback::relay::Relay;
use talkback::start::StartError;

mod error;
pub mod stack;

pub use error::MigrateError;

/// Does what was asked for, and where a stack asked, answers it, whatever came of it; also without a relay.
///
/// # Errors
/// What failed, where a person asked; a stack that could not be answered.
pub async fn invoke(relay: Result<&Relay, &StartError>, event: LambdaEvent<Value>) -> Result<Value, MigrateError> {
    if stack::asks(&event.payload) {
        return stack::serve(relay, event).await;
    }
    handle(relay.map_err(|error| MigrateError::Start(error.to_string()))?, event).await
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
