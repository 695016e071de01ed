//! What was found when the protocol of the lanes was attacked as a prototype, finding by finding: the tests that show it
//! does not happen here, or why it cannot.
mod doors;
mod lanes;

use std::collections::BTreeSet;

use crate::rules::sources;

/// Its number, in our words, the tests that show it, and what there is to say besides.
type Finding = (u8, &'static str, &'static [&'static str], &'static str);

const FINDINGS: [Finding; 41] = [
    (
        1,
        "a count of wake-ups read in an old snapshot loses one: work waits though somebody was told of it",
        &["whoever_comes_while_a_lane_is_let_go_is_found_though_nobody_looks_again_later"],
        "no count: let go, then look again",
    ),
    (
        2,
        "locks that an open accept holds on a room make a taker skip it",
        &["an_accept_that_has_not_committed_keeps_nobody_from_the_room"],
        "the lease is in a table of its own, and nothing refers to rooms by a foreign key",
    ),
    (
        3,
        "accepts that write to their room's row wait for each other, and deadlock",
        &["an_accept_touches_neither_lanes_nor_rooms"],
        "",
    ),
    (
        4,
        "parts of one statement do not see what the others write: a pause vanishes, a failed message goes on, a record settles nothing",
        &[
            "in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck",
            "a_refused_part_fails_alone",
            "a_rate_limit_slows_the_room_and_nothing_is_dropped_or_reordered",
            "a_message_and_its_record_at_once_from_two_consumers_are_settled_each_time",
        ],
        "record and claim are two statements in one round trip",
    ),
    (
        5,
        "a decision on rows that are not locked posts again what was confirmed meanwhile",
        &[
            "however_things_race_the_counters_say_what_the_parts_say_and_nothing_is_stuck",
            "killing_any_function_between_calls_loses_and_doubles_nothing",
        ],
        "lane, delivery, part, each locked before it is judged",
    ),
    (
        6,
        "who claims and then sleeps for its turn makes each death in its sleep a doubt",
        &["who_waits_for_its_turn_has_claimed_nothing"],
        "",
    ),
    (
        7,
        "a lost answer taken for a call that was not made posts twice",
        &[
            "a_lost_answer_whose_line_appeared_is_not_posted_again",
            "a_lost_request_is_posted_again_once_and_in_its_place",
            "a_connection_that_never_was_is_simply_tried_again",
            "where_nothing_can_tell_a_lost_answer_is_sent_again_or_given_up_as_configured",
        ],
        "and each dispatch has a new client, so that no connection outlives a freeze",
    ),
    (
        8,
        "a holder that was frozen between claim and call posts beside its successor",
        &[
            "a_function_frozen_past_its_lease_posts_nothing_twice",
            "in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck",
            "a_claim_that_came_too_late_to_call_is_free_for_the_next",
        ],
        "",
    ),
    (
        9,
        "the late answer of a holder that lost its lane pauses the lane of another, or is lost as a proof",
        &[
            "in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck",
            "a_late_answer_about_one_part_does_not_unblock_another_in_the_air",
            "a_late_proof_counts_also_while_a_later_attempt_is_in_the_air",
        ],
        "",
    ),
    (
        10,
        "one message at which the chat always fails holds up its room",
        &["a_message_that_alone_keeps_failing_is_set_aside_and_fails_at_last"],
        "",
    ),
    (
        11,
        "a wrong bot id or token fails a whole backlog",
        &[
            "a_wrong_room_is_suspended_nothing_fails_and_a_mended_configuration_resumes_it",
            "a_process_with_the_old_address_does_not_suspend_a_mended_room",
        ],
        "",
    ),
    (
        12,
        "a message with nothing left to send, or a part in the air under one that was withdrawn, stays for ever",
        &[
            "in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck",
            "a_message_that_lacks_a_part_is_never_called_sent",
            "however_things_race_the_counters_say_what_the_parts_say_and_nothing_is_stuck",
        ],
        "",
    ),
    (
        13,
        "who counts parts to know whether all are confirmed misses one that is confirmed at the same time",
        &[
            "however_things_race_the_counters_say_what_the_parts_say_and_nothing_is_stuck",
            "callbacks_late_twice_or_shuffled_confirm_each_part_once",
        ],
        "counters on the delivery, each increased in one update",
    ),
    (
        14,
        "one room's backlog starves the others",
        &["a_room_with_a_backlog_lets_another_in_after_ten_parts", "a_slow_room_does_not_hold_up_another"],
        "",
    ),
    (
        15,
        "while the one consumer drains a diary, an alarm lies in the queue",
        &[
            "the_consumer_leaves_a_backlog_to_the_dispatcher",
            "where_a_dispatcher_works_the_callback_leaves_the_answer_to_it",
        ],
        "",
    ),
    (
        16,
        "what enters the queue late splits a message in progress; whether a more urgent one may must be said",
        &[
            "a_message_that_was_stored_late_does_not_come_between_the_parts_of_another",
            "an_urgent_message_comes_next_however_long_the_queue",
            "everything_that_failed_is_sent_again_in_its_old_order",
        ],
        "",
    ),
    (
        17,
        "a callback confirms the wrong one of equal texts, or one that was lost counts as proof of absence",
        &[
            "the_exact_text_confirms_the_oldest_of_equal_parts",
            "two_bots_of_one_group_are_each_confirmed_and_answer_a_command_once",
            "a_line_is_heard_once_and_obeyed_once_however_often_it_comes",
            "after_postgres_was_away_a_lost_answer_is_looked_for_anew",
            "a_line_that_comes_while_postgres_is_away_is_heard_when_it_is_back",
            "where_only_callbacks_tell_killing_loses_and_doubles_nothing",
        ],
        "what is left is one of the exceptions that promise 2 names: an answer lost and its callback too",
    ),
    (
        18,
        "the pace is kept by the wrong clock, or is charged only once; a clock that steps back stops a lane",
        &[
            "all_instances_together_never_post_faster_than_the_rooms_pace",
            "in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck",
            "a_lane_left_over_from_a_clock_that_stepped_back_is_free",
        ],
        "",
    ),
    (
        19,
        "a join makes each claim read and sort the whole backlog",
        &["no_statement_reads_a_growing_table_from_end_to_end"],
        "",
    ),
    (
        20,
        "rows that change all the time leave dead ones behind, and an old snapshot keeps those",
        &[
            "the_tables_that_change_all_the_time_are_kept_small",
            "an_accept_that_was_given_up_leaves_no_open_transaction_behind",
        ],
        "a foreign snapshot costs speed for as long as it is open, and nothing else",
    ),
    (
        21,
        "one order of locks does not prevent every deadlock with statements in bulk",
        &["a_statement_that_was_ended_for_a_deadlock_is_done_again"],
        "",
    ),
    (
        22,
        "one bad row refuses its whole batch",
        &[
            "a_message_that_the_database_refuses_harms_only_itself",
            "a_record_that_the_database_refuses_harms_only_itself",
            "an_invalid_message_does_not_stop_its_neighbours",
        ],
        "what is known to be refused cannot be made: NUL, half a surrogate pair, huge numbers and deep nesting end in json.rs",
    ),
    (
        23,
        "one uid twice in a batch fails or vanishes; two doors with the same uids in another order deadlock",
        &["the_same_uid_twice_is_one_post", "two_doors_with_the_same_messages_in_another_order_both_store_them"],
        "",
    ),
    (
        24,
        "a record that races its message, or settles rooms that are not its own, leaves a post too many or one too few",
        &[
            "a_record_before_its_message_leaves_nothing_to_post",
            "a_message_and_its_record_that_waited_together_post_nothing_in_either_order",
            "a_message_and_its_record_at_once_from_two_consumers_are_settled_each_time",
            "a_record_settles_the_room_of_its_bot_and_no_other",
        ],
        "",
    ),
    (
        25,
        "without a uid a redelivery is a new message, or next week's identical test alarm an old one",
        &[
            "a_redelivery_repeats_the_uid_and_another_message_does_not",
            "without_any_mark_equal_bodies_of_five_minutes_count_as_one",
            "equal_messages_of_one_batch_are_counted",
        ],
        "a broker killed in mid-transfer may stamp one message twice, at different times: then it is two",
    ),
    (
        26,
        "the second of two messages with one uid is swallowed",
        &[
            "the_same_uid_with_other_content_is_kept_as_rejected_and_not_dropped_in_silence",
            "a_uid_that_stands_for_something_else_is_refused_without_detail",
            "one_number_as_uid_of_two_sources_is_two_messages",
        ],
        "",
    ),
    (
        27,
        "the first digits of a uid made from the time are those of all messages of a minute",
        &["no_uid_of_ours_is_made_from_the_time"],
        "",
    ),
    (
        28,
        "a ban or a mute that races an accept leaves a message queued, or held for ever",
        &[],
        "nobody can be banned or muted yet, and nothing enters `held`; who builds that gives the claim the last look",
    ),
    (
        29,
        "secrets of producers and callers lie in what is kept as it came",
        &[
            "the_stations_programs_send_with_a_password_that_is_kept_nowhere",
            "secrets_of_others_are_kept_nowhere_also_in_what_strict_readers_refuse",
            "numbers_names_places_and_secrets_are_nowhere_in_plain",
        ],
        "",
    ),
    (
        30,
        "a change of state that a statement forgets to write down; a caller that died leaves no row of its call",
        &[
            "in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck",
            "a_caller_that_died_in_its_call_leaves_a_row_that_its_finder_writes",
        ],
        "events are written by a trigger, and every story ends with a look at all of them",
    ),
    (
        31,
        "an accept that timed out may have been done: who posts directly then posts twice",
        &[
            "with_postgres_frozen_alarms_are_seen_at_once_and_the_rest_afterwards_in_order",
            "with_postgres_killed_alarms_are_seen_at_once_and_the_rest_afterwards_in_order",
            "connections_to_postgres_cut_off_in_mid_flight_lose_and_double_nothing",
        ],
        "what is left is one of the exceptions that promise 2 names",
    ),
    (
        32,
        "who dies between a direct post and the end of its batch posts again after the redelivery",
        &[],
        "it can happen: an urgent message posted while Postgres is down is an exception that promise 2 names; a queue for \
         each uid as test-and-set was not built",
    ),
    (
        33,
        "a call that was made, and Postgres died before it was written down",
        &[
            "a_call_of_the_consumer_that_postgres_did_not_hear_of_is_recorded_later_and_not_made_again",
            "a_call_of_the_dispatcher_that_postgres_did_not_hear_of_is_recorded_later_and_not_made_again",
        ],
        "",
    ),
    (
        34,
        "producer and relay both post: the margin is too short, the clock another one, or the record comes in between",
        &[
            "a_message_found_after_its_producer_took_over_is_withdrawn",
            "in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck",
            "a_record_stops_the_remaining_parts_of_what_is_being_posted",
            "a_repeat_that_asks_about_a_finished_message_is_answered_again",
            "a_listeners_text_marked_as_sent_already_is_written_down_and_not_posted",
        ],
        "the call for a first part may last only until its producer's moment; one cut off there is an exception that promise 2 names",
    ),
    (
        35,
        "a message that is published again loses its key, or the broker sees a cycle in its x-death",
        &[
            "a_message_published_again_keeps_what_its_first_stamp_told",
            "the_key_is_found_by_our_header_then_the_stamp_then_the_table",
        ],
        "",
    ),
    (
        36,
        "a batch is returned for what comes after its messages were stored; no free connection is taken for an error",
        &[
            "nobody_else_gets_a_message_again_because_we_could_not_store_it",
            "a_database_without_a_free_connection_is_away_and_not_wrong",
            "no_event_is_larger_than_six_megabytes_and_what_fits_into_none_is_kept",
        ],
        "",
    ),
    (
        37,
        "what finds no target behind the stamp waits for three minutes, unseen",
        &[
            "a_way_that_is_broken_behind_the_stamp_is_seen_by_the_probe",
            "a_probe_comes_through_and_is_no_message",
            "every_queue_exchange_and_binding_is_what_a_broker_has_after_declaring",
        ],
        "declared from the far end to the near",
    ),
    (
        38,
        "without reject-publish dead letters are lost in silence",
        &[
            "a_queue_with_other_arguments_is_reported_by_name_argument_and_values",
            "every_queue_exchange_and_binding_is_what_a_broker_has_after_declaring",
        ],
        "",
    ),
    (
        39,
        "what was returned too often vanishes, or lies among the dead where nobody looks",
        &[
            "what_is_returned_too_often_lies_among_the_dead_with_its_key",
            "one_of_ours_among_the_dead_letters_is_ignored",
        ],
        "",
    ),
    (
        40,
        "good news of the stamp queue: order, properties and every confirmed message pass",
        &[
            "the_routing_key_survives_by_the_stamp_queue_alone",
            "a_published_message_arrives_with_all_that_it_was_given",
        ],
        "",
    ),
    (
        41,
        "a broker killed within a second of declaring quorum queues never has them again",
        &[],
        "a fault of RabbitMQ 3.10.8 that only a harness can meet: whoever kills a broker in a story lets it run for some seconds first",
    ),
];

#[test]
fn every_finding_is_shown_by_a_test_or_said_to_be_impossible() {
    let numbers: Vec<u8> = FINDINGS.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=41).collect::<Vec<u8>>());
    let sources = sources();
    let tests: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| tests_of(text)).collect();
    assert!(tests.len() > 500, "only {} tests were found", tests.len());
    for (number, words, shown, besides) in FINDINGS {
        assert!(
            words.len() > 30 && (!shown.is_empty() || besides.len() > 60),
            "finding {number} has neither test nor reason"
        );
        for name in shown {
            assert!(tests.contains(name), "finding {number}: there is no test {name}");
        }
    }
}

/// The names of the tests of a file: functions with an attribute that ends in `test`.
fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    let attribute = |after: &&str| after.starts_with("test]") || after.starts_with("tokio::test");
    text.split("#[").filter(attribute).filter_map(|after| after.split_once("fn ")?.1.split('(').next())
}
