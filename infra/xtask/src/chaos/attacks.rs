//! The table of attacks. A test compares it with the calls of `attack` in `tests/stories`.

/// One attack: a story that follows from a seed.
#[derive(Debug, PartialEq, Eq)]
pub struct Attack {
    /// Its name in reports.
    pub name: &'static str,
    /// The path of its test in the stories' program.
    pub test: &'static str,
    /// Whether nothing may run beside it: it measures times, or needs the whole machine.
    pub alone: bool,
}

/// Every attack, in the order of rounds.
pub const ATTACKS: &[Attack] = &[
    beside("kill", "process::kills::killing_any_function_at_random_moments_loses_and_doubles_nothing"),
    beside("kill-quick", "process::kills::killing_any_function_between_calls_loses_and_doubles_nothing"),
    beside("kill-callbacks", "process::kills::where_only_callbacks_tell_killing_loses_and_doubles_nothing"),
    beside("freeze", "process::freezes::a_function_frozen_past_its_lease_posts_nothing_twice"),
    beside("postgres-cut", "process::outages::connections_to_postgres_cut_off_in_mid_flight_lose_and_double_nothing"),
    beside("consumer-away", "process::outages::the_bridge_returns_a_batch_that_failed_and_delivers_it_later"),
];

/// One that others may run beside.
const fn beside(name: &'static str, test: &'static str) -> Attack {
    Attack { name, test, alone: false }
}
