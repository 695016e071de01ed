//! Stories across real Postgres, real RabbitMQ and the real functions; only GroupMe is simulated, strictly, over HTTP.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(unreachable_pub, reason = "a test binary has no public interface")]

mod answers;
mod asyncapi;
mod attack;
mod by_hand;
mod callback;
mod events;
mod flood;
mod front_end;
mod gallery;
mod groupme_door;
mod hostile_pictures;
mod interleavings;
mod lanes;
mod main_job;
mod migrations;
mod old_faults;
mod openapi;
mod order;
mod outages;
mod outside_logger;
mod outside_logger_trouble;
mod payloads;
mod picture_errands;
mod pictures;
mod plans;
mod poison;
mod privacy;
mod process;
mod producers;
mod records;
mod reports;
mod retention;
mod reviewed;
mod rooms;
mod rules;
mod send_door;
mod send_health;
mod send_look_up;
mod setup;
mod station;
mod storm;
mod take_over;
mod taken;
mod vhost;
