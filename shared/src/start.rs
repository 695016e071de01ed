//! What every function does first: the TLS provider, the log, the settings, a relay.
use std::process::ExitCode;

use crate::config::Settings;
use crate::relay::Relay;

/// Prepares a function of this name; connects to nothing yet.
///
/// # Errors
/// Why it cannot start has been logged, every wrong setting at once; what is returned is for `main` to end with.
pub fn relay(function: &'static str) -> Result<Relay, ExitCode> {
    crate::tls::install_ring();
    crate::telemetry::init(function);
    let settings = Settings::from_env().map_err(fail)?;
    if settings.embedded_metrics {
        crate::telemetry::metrics::embed(function);
    }
    Relay::new(settings, function).map_err(fail)
}

fn fail(error: impl std::error::Error + 'static) -> ExitCode {
    tracing::error!(error = &error as &dyn std::error::Error, "the function cannot start");
    ExitCode::FAILURE
}
