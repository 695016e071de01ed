//! JSON logs: one line an event, the fields of its spans beside its own, so that one field has one name everywhere:
//! `uid`, `room`, `source`, `duration_ms`, `error`, and of each invocation `request_id` and `cold_start`.
//!
//! A failure is logged once, where it is dealt with, as `error = &error as &dyn Error`. Bodies, numbers and secrets
//! are in no field.
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config;

mod describe;
mod fields;
mod lines;
pub mod metrics;

pub use describe::describe;

/// Starts logging to standard output for the function (or program) of this name, as `RUST_LOG` asks. Called once, at
/// the start of main; a second call changes nothing. Panics are logged too.
pub fn init(function: &'static str) {
    let wanted = config::log_filter();
    let (filter, understood) = match wanted.parse::<Targets>() {
        Ok(filter) => (filter, true),
        Err(_) => (Targets::new().with_default(LevelFilter::INFO), false),
    };
    if tracing_subscriber::registry().with(layer(function, filter, std::io::stdout)).try_init().is_err() {
        return;
    }
    std::panic::set_hook(Box::new(log_panic));
    if !understood {
        tracing::warn!("RUST_LOG is not understood: logging from level info");
    }
}

/// The crates that take care of what they log.
const OURS: [&str; 8] =
    ["talkback", "send", "groupme_callback", "rabbitmq_consumer", "dispatcher", "migrate", "bridge", "talkback_host"];

/// The layer that `init` installs, for a writer of one's own.
///
/// Only what this program itself logs is let through below the level info, whatever the filter says: at debug and
/// trace the Lambda runtime, the broker's and the database's clients write out payloads and credentials. lapin is not
/// let through at all: a message that no queue takes it logs with its body, as a warning; what went wrong with the
/// broker we log ourselves. Spans carry the fields that say what a line is about, so they are kept also where the
/// filter asks for warnings alone.
pub fn layer<S, W>(function: &'static str, filter: Targets, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let may_speak = move |metadata: &Metadata<'_>| match metadata.target().split("::").next() {
        Some("lapin") => false,
        Some(name) if OURS.contains(&name) => true,
        _ => *metadata.level() <= Level::INFO,
    };
    let spans = filter_fn(|metadata| metadata.is_span() && *metadata.level() <= Level::INFO);
    let discreet = filter_fn(may_speak);
    let filter =
        filter.or(spans.with_max_level_hint(LevelFilter::INFO)).and(discreet.with_max_level_hint(LevelFilter::TRACE));
    lines::JsonLines::new(function, writer).with_filter(filter)
}

/// Only a text that stands in the program is logged: one made at run time quotes what it is about (a slice that cuts
/// a character prints the whole text).
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let fixed = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(location, panic = fixed, "panicked");
}

#[cfg(test)]
mod tests;
