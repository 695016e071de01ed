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
    beside("repeat", "process::repeats::the_same_batch_again_and_to_two_consumers_at_once_is_one_post_per_part"),
    beside(
        "crowd",
        "process::crowd::in_a_crowd_each_room_has_one_holder_keeps_its_order_and_is_never_faster_than_its_pace",
    ),
    beside("clocks", "process::clocks::clocks_ten_minutes_apart_change_neither_pace_nor_order_nor_what_is_too_late"),
    beside("flood", "flood::an_alarm_is_next_after_the_current_message_though_ten_thousand_wait"),
    beside(
        "groupme-faults",
        "groupme_faults::whatever_groupme_answers_or_does_not_nothing_is_lost_doubled_or_disordered",
    ),
    beside(
        "groupme-callbacks",
        "groupme_faults::where_only_callbacks_tell_whatever_groupme_does_nothing_else_is_doubled",
    ),
    beside(
        "groupme-wrong-room",
        "groupme_faults::a_room_that_groupme_does_not_know_is_left_alone_and_said_and_resumes_whole",
    ),
    beside(
        "producers",
        "producers::orders::in_every_order_of_original_record_and_reply_a_message_is_seen_once_and_recorded_once",
    ),
    beside(
        "producers-processes",
        "producers::processes::programs_that_are_killed_beside_functions_that_stop_say_everything_once",
    ),
    alone(
        "postgres-killed",
        "process::away::postgres::with_postgres_killed_and_started_again_nothing_is_lost_and_alarms_are_seen_at_once",
    ),
    alone(
        "postgres-frozen",
        "process::away::postgres::with_postgres_frozen_nothing_is_lost_and_alarms_are_seen_at_once",
    ),
    alone(
        "postgres-full",
        "process::away::postgres::with_postgres_on_a_full_disk_nothing_is_lost_and_alarms_are_seen_at_once",
    ),
    alone(
        "postgres-read-only",
        "process::away::postgres::with_postgres_read_only_nothing_is_lost_and_alarms_are_seen_at_once",
    ),
    beside(
        "rabbitmq-killed",
        "process::away::rabbitmq::with_rabbitmq_killed_and_started_again_nothing_is_lost_and_senders_do_not_notice",
    ),
    beside(
        "rabbitmq-frozen",
        "process::away::rabbitmq::with_rabbitmq_frozen_nothing_is_lost_and_senders_do_not_notice",
    ),
    beside(
        "rabbitmq-closed",
        "process::away::rabbitmq::with_connections_closed_by_rabbitmq_nothing_is_lost_and_senders_do_not_notice",
    ),
    alone(
        "rabbitmq-unconfirmed",
        "process::away::rabbitmq::with_publishes_unconfirmed_while_postgres_is_away_nothing_is_lost",
    ),
    alone(
        "both-down",
        "process::away::both::with_postgres_and_rabbitmq_away_alarms_by_http_go_out_and_the_rest_comes_afterwards",
    ),
    beside("interleavings", "interleavings::in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck"),
    beside("poison", "poison::a_thousand_poisoned_messages_harm_only_themselves"),
];

/// One that others may run beside.
const fn beside(name: &'static str, test: &'static str) -> Attack {
    Attack { name, test, alone: false }
}

/// One that measures how soon alarms are seen: nothing may run beside it.
const fn alone(name: &'static str, test: &'static str) -> Attack {
    Attack { name, test, alone: true }
}
