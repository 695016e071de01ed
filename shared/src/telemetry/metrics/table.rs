//! The table of all metrics.
use super::{Kind, Metric, Unit};

/// Upper bounds for waits: from at once to a day.
const WAITS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0];

/// Upper bounds for calls, of which the longest are cut off at ten seconds.
const CALLS: &[f64] = &[0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0];

const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric::new(name, Kind::Gauge, unit, labels, help)
}

/// Messages that a door took in.
pub static MESSAGES: Metric = Metric::counter(
    "talkback_messages_total",
    &["source", "verdict"],
    "Messages taken in, by the pattern of the route that their source takes and by what was decided.",
);
/// Input that could not be taken in.
pub static REJECTED: Metric =
    Metric::counter("talkback_rejected_total", &["reason"], "Input kept in the table rejected, by reason.");
/// Calls that post a part.
pub static POSTS: Metric =
    Metric::counter("talkback_posts_total", &["room", "outcome"], "Calls that were to post a part, by how they ended.");
/// Answers that ask for patience.
pub static RATE_LIMITED: Metric =
    Metric::counter("talkback_rate_limited_total", &["room"], "Answers of the chat that say: too many requests.");
/// Lanes taken.
pub static LANE_TAKES: Metric =
    Metric::counter("talkback_lane_takes_total", &["room"], "How often a lease on a room was taken.");
/// What dependencies refused or left unanswered.
pub static DEPENDENCY_ERRORS: Metric = Metric::counter(
    "talkback_dependency_errors_total",
    &["dependency"],
    "Requests that a dependency did not answer, or answered by its own fault: postgres, rabbitmq, groupme, pictures.",
);
/// Requests that a door refused.
pub static REQUESTS_REFUSED: Metric = Metric::counter(
    "talkback_requests_refused_total",
    &["reason"],
    "Requests refused at a door: limit (429), key (401, 403), callback.",
);
/// Invocations that failed.
pub static FUNCTION_FAILURES: Metric = Metric::counter(
    "talkback_function_failures_total",
    &["function"],
    "Invocations that failed or panicked, in the host; on AWS Lambda counts them.",
);
/// From acceptance to the first post.
pub static WAIT: Metric = Metric::new(
    "talkback_wait_seconds",
    Kind::Histogram(WAITS),
    Unit::Seconds,
    &["room"],
    "From the acceptance of a message, or its replay, to the answer that its first part is posted.",
);
/// How long calls take.
pub static POST_DURATION: Metric = Metric::new(
    "talkback_post_duration_seconds",
    Kind::Histogram(CALLS),
    Unit::Seconds,
    &["room"],
    "How long calls that post a part took.",
);
/// What waits.
pub static QUEUE_DEPTH: Metric =
    gauge("talkback_queue_depth", Unit::Count, &["room"], "Deliveries that wait or are being sent.");
/// How old it is.
pub static QUEUE_OLDEST: Metric = gauge(
    "talkback_queue_oldest_age_seconds",
    Unit::Seconds,
    &["room"],
    "Age of the oldest delivery that waits or is being sent; 0 where none does.",
);
/// Rooms that are not posted to.
pub static ROOM_PAUSED: Metric = gauge(
    "talkback_room_paused_seconds",
    Unit::Seconds,
    &["room"],
    "For how long a room has been paused (its bot was removed) or suspended; 0 where it is open.",
);
/// Rooms whose address is wrong.
pub static ROOM_SUSPENDED: Metric = gauge(
    "talkback_room_suspended",
    Unit::Count,
    &["room"],
    "1 where the chat does not know the room's bot (HTTP 401 or 404), else 0.",
);
/// What the chat never showed.
pub static CONFIRMATIONS_MISSING: Metric = gauge(
    "talkback_confirmations_missing",
    Unit::Count,
    &["room"],
    "Deliveries of the last 24 hours that no callback confirmed, counted up to 1,000.",
);
/// What failed.
pub static DELIVERIES_FAILED: Metric = gauge(
    "talkback_deliveries_failed",
    Unit::Count,
    &["room"],
    "Deliveries of the last 24 hours that failed, counted up to 1,000.",
);
/// The last word from the chat.
pub static CALLBACK_AGE: Metric = gauge(
    "talkback_callback_age_seconds",
    Unit::Seconds,
    &["room"],
    "Since the last callback about a line in the room; absent before the first.",
);
/// Functions that ran.
pub static FUNCTION_AGE: Metric = gauge(
    "talkback_function_age_seconds",
    Unit::Seconds,
    &["function"],
    "Since a function last worked with the database; absent where it never did.",
);
/// What waits at the broker.
pub static BROKER_QUEUE: Metric = gauge(
    "talkback_broker_queue_messages",
    Unit::Count,
    &["queue"],
    "Messages at the broker: talkback (not yet taken in), talkback.retry, talkback.dead.",
);
/// Whether dependencies answer.
pub static UP: Metric =
    gauge("talkback_dependency_up", Unit::Count, &["dependency"], "1 where the dependency answers, else 0.");
/// Sessions of the database.
pub static DATABASE_CONNECTIONS: Metric =
    gauge("talkback_database_connections", Unit::Count, &[], "Sessions of the database server, of all programs.");
/// How many it allows.
pub static DATABASE_CONNECTIONS_MAX: Metric =
    gauge("talkback_database_connections_max", Unit::Count, &[], "Sessions that the database server allows.");
/// How large it is.
pub static DATABASE_SIZE: Metric =
    gauge("talkback_database_size_bytes", Unit::Bytes, &[], "Size of the database on its disk.");
/// Which version this is.
pub static BUILD_INFO: Metric = gauge("talkback_build_info", Unit::Count, &["version"], "Always 1.");

/// All of them.
pub static ALL: &[&Metric] = &[
    &MESSAGES,
    &REJECTED,
    &POSTS,
    &RATE_LIMITED,
    &LANE_TAKES,
    &DEPENDENCY_ERRORS,
    &REQUESTS_REFUSED,
    &FUNCTION_FAILURES,
    &WAIT,
    &POST_DURATION,
    &QUEUE_DEPTH,
    &QUEUE_OLDEST,
    &ROOM_PAUSED,
    &ROOM_SUSPENDED,
    &CONFIRMATIONS_MISSING,
    &DELIVERIES_FAILED,
    &CALLBACK_AGE,
    &FUNCTION_AGE,
    &BROKER_QUEUE,
    &UP,
    &DATABASE_CONNECTIONS,
    &DATABASE_CONNECTIONS_MAX,
    &DATABASE_SIZE,
    &BUILD_INFO,
];
