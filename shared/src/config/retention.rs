//! `[retention]`: how long what is finished is kept.
use std::time::Duration;

use super::document::{Reading, Section};

/// What is kept if nothing is said: a year, and a month to look back on it.
const DEFAULT: Duration = Duration::from_secs(400 * 86_400);

/// How long what is finished is kept (`[retention]`); `None` is for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Messages with their deliveries, parts, pictures, calls and events, once nothing more will be posted of them.
    pub messages: Option<Duration>,
    /// What was said and answered in calls; that they were made, when, and how they ended, is kept with their messages.
    pub calls: Option<Duration>,
    /// Lines said in the rooms, and counts of refused callbacks.
    pub callbacks: Option<Duration>,
    /// The changes of deliveries' states.
    pub events: Option<Duration>,
    /// Rejected input.
    pub rejected: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        let year = Some(DEFAULT);
        Self { messages: None, calls: year, callbacks: year, events: year, rejected: year }
    }
}

/// Reads `[retention]`.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>) -> Retention {
    let mut section = root.section(reading, "retention");
    let mut keep = Retention::default();
    for (key, time) in [
        ("messages", &mut keep.messages),
        ("calls", &mut keep.calls),
        ("callbacks", &mut keep.callbacks),
        ("events", &mut keep.events),
        ("rejected", &mut keep.rejected),
    ] {
        *time = section.keep(reading, key).unwrap_or(*time);
    }
    section.end(reading);
    keep
}
