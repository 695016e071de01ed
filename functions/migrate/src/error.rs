//! What can go wrong here. Nothing of it holds a value of a setting, or the address that a stack is answered at.
use talkback::broker::BrokerError;
use talkback::store::StoreError;

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Of the settings.
    #[error("{0}")]
    Start(String),
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
    /// It would go on when the function must end.
    #[error("migrations: not done within {0} s; what they began is undone by the database")]
    Late(u64),
    /// A request of a stack lacks something, or is of another kind.
    #[error("the stack's request: RequestType must be Create, Update or Delete, and all that belongs to it be there")]
    Request,
    /// The address to answer a stack at.
    #[error("ResponseURL: must be an https address (http only on this machine)")]
    ResponseUrl,
    /// The answer did not reach the stack.
    #[error("the stack could not be answered: {0}")]
    Unanswered(String),
}
