//! What every function does first: the TLS provider, the log, the settings, a relay.
use std::process::ExitCode;

use crate::config::{Settings, SettingsError};
use crate::relay::{Relay, RelayError};

/// Why a function has no relay.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings are missing or wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// They are right each by itself, and cannot work.
    #[error(transparent)]
    Relay(#[from] RelayError),
}

/// Prepares a function of this name; connects to nothing yet.
///
/// # Errors
/// Why it cannot start has been logged, every wrong setting at once; what is returned is for `main` to end with.
pub fn relay(function: &'static str) -> Result<Relay, ExitCode> {
    try_relay(function).map_err(|_| ExitCode::FAILURE)
}

/// The same for a function that has somebody to tell why it cannot start, beside the log.
///
/// # Errors
/// Every wrong setting at once, without its value. It has been logged.
pub fn try_relay(function: &'static str) -> Result<Relay, StartError> {
    crate::tls::install_ring();
    crate::telemetry::init(function);
    let relay = Settings::from_env().map_err(StartError::from).and_then(|settings| {
        if settings.embedded_metrics {
            crate::telemetry::metrics::embed(function);
        }
        Ok(Relay::new(settings, function)?)
    });
    relay.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "the function cannot start");
    })
}
