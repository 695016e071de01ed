//! `[lanes]`: the times and counts of the lane mechanism, checked as a whole.
use std::time::Duration;

use super::document::{Reading, Section};

/// The times and counts of the lane mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// How long a holder has a lane without renewing it.
    pub lease: Duration,
    /// The hard limit of one call to a chat, from connecting to the last byte of the answer.
    pub http: Duration,
    /// What must be left of the lease beyond the call when it starts.
    pub margin: Duration,
    /// How long after the end of its lease a call of unknown outcome is looked for before it is made again.
    pub window: Duration,
    /// How long an answered part waits for its callback before it counts as unconfirmed.
    pub unconfirmed_after: Duration,
    /// The first pause of a room whose post must be tried again.
    pub pause_min: Duration,
    /// The longest such pause.
    pub pause_max: Duration,
    /// How long a room goes at half its pace after a rate limit.
    pub slow_for: Duration,
    /// How many parts one holder posts before it lets go.
    pub quantum_parts: u32,
    /// How long one holder posts before it lets go.
    pub quantum: Duration,
    /// How often a part may fail alone before its message is set aside.
    pub set_aside_after: u32,
    /// How long a message is set aside the first time, the second, and so on; after the last it has failed.
    pub set_aside_delays: Vec<Duration>,
    /// How long the dispatcher stays.
    pub stay: Duration,
    /// How long it stays where its deadline is not known, as in the emulator.
    pub stay_unknown_deadline: Duration,
    /// How often the dispatcher looks for due work at least.
    pub poll: Duration,
    /// How many rooms one dispatcher drains at a time.
    pub lanes: u32,
    /// How long the database may take over one statement.
    pub statement_timeout: Duration,
    /// How long a producer that takes over may take to tell that it posted.
    pub record_within: Duration,
    /// How long what could not be stored waits in the queue `talkback.retry`.
    pub retry_ttl: Duration,
}

impl Default for Lanes {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            lease: seconds(20),
            http: seconds(10),
            margin: seconds(5),
            window: seconds(20),
            unconfirmed_after: seconds(120),
            pause_min: seconds(1),
            pause_max: seconds(60),
            slow_for: seconds(60),
            quantum_parts: 10,
            quantum: seconds(5),
            set_aside_after: 3,
            set_aside_delays: vec![seconds(60), seconds(300), seconds(1500)],
            stay: seconds(55),
            stay_unknown_deadline: seconds(50),
            poll: seconds(1),
            lanes: 32,
            statement_timeout: seconds(8),
            record_within: seconds(600),
            retry_ttl: seconds(5),
        }
    }
}

/// Reads `[lanes]` and checks that its times fit together.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>) -> Lanes {
    let mut section = root.section(reading, "lanes");
    let mut lanes = Lanes::default();
    for (key, time) in [
        ("lease", &mut lanes.lease),
        ("http", &mut lanes.http),
        ("margin", &mut lanes.margin),
        ("window", &mut lanes.window),
        ("unconfirmed_after", &mut lanes.unconfirmed_after),
        ("pause_min", &mut lanes.pause_min),
        ("pause_max", &mut lanes.pause_max),
        ("slow_for", &mut lanes.slow_for),
        ("quantum", &mut lanes.quantum),
        ("stay", &mut lanes.stay),
        ("stay_unknown_deadline", &mut lanes.stay_unknown_deadline),
        ("poll", &mut lanes.poll),
        ("statement_timeout", &mut lanes.statement_timeout),
        ("record_within", &mut lanes.record_within),
        ("retry_ttl", &mut lanes.retry_ttl),
    ] {
        *time = section.duration(reading, key).unwrap_or(*time);
    }
    lanes.quantum_parts = section.count(reading, "quantum_parts", lanes.quantum_parts);
    lanes.set_aside_after = section.count(reading, "set_aside_after", lanes.set_aside_after);
    lanes.set_aside_delays = section.durations(reading, "set_aside_delays").unwrap_or(lanes.set_aside_delays);
    lanes.lanes = section.count(reading, "lanes", lanes.lanes);
    for (key, fault) in unfit(&lanes) {
        section.fault(reading, key, fault);
    }
    section.end(reading);
    lanes
}

/// What does not fit together, by the key to change.
fn unfit(lanes: &Lanes) -> Vec<(&'static str, &'static str)> {
    let call = lanes.http + lanes.margin;
    let rules = [
        (call < lanes.lease, "lease", "must be longer than http and margin together, or no call may ever start"),
        (lanes.pause_min <= lanes.pause_max, "pause_max", "must not be shorter than pause_min"),
        // The statements take a pause that ends more than 15 minutes from now for a clock that stepped back.
        (lanes.pause_max <= Duration::from_mins(10), "pause_max", "must not be longer than 10m"),
        (call < lanes.stay, "stay", "must be longer than http and margin together"),
        (call < lanes.stay_unknown_deadline, "stay_unknown_deadline", "must be longer than http and margin together"),
        (lanes.statement_timeout < lanes.lease, "statement_timeout", "must be shorter than lease"),
        // Postgres and RabbitMQ count whole milliseconds; 0 would mean no limit to the one, at once to the other.
        (lanes.statement_timeout.as_millis() > 0, "statement_timeout", "must be at least 1ms"),
        (lanes.retry_ttl.as_millis() > 0, "retry_ttl", "must be at least 1ms"),
    ];
    rules.into_iter().filter(|(fits, ..)| !fits).map(|(_, key, fault)| (key, fault)).collect()
}
