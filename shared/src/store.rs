//! Postgres: SQL, and nothing but SQL. One statement a function, named for what it does; its comment says what makes
//! it safe under concurrency. One lock order everywhere: lane, delivery, part, each `for no key update`.
//!
//! The reference for the lane statements is the prototype that survived its attack; each rule is a failure seen.
pub mod accept;
pub mod answers;
pub mod bans;
pub mod commands;
pub mod connection;
pub mod console;
pub mod erase;
mod forget;
pub mod gauges;
pub mod hear;
pub mod lanes;
pub mod left;
pub mod look_up;
mod migrate;
pub mod mutes;
pub mod outbox;
pub mod pictures;
pub mod records;
pub mod rejected;
mod replay;
pub mod rooms;
pub mod stats;
pub mod sweep;
pub mod transcript;

pub use connection::{Store, StoreError};

/// A statement by its name: it is prepared with parameters, so its text never holds a value.
pub type Statement = (&'static str, &'static str);

/// Every statement that the relay makes again and again, for the tests that look at their plans.
#[must_use]
pub fn statements() -> Vec<Statement> {
    [
        accept::STATEMENTS,
        answers::STATEMENTS,
        bans::STATEMENTS,
        commands::STATEMENTS,
        connection::STATEMENTS,
        console::STATEMENTS,
        erase::STATEMENTS,
        forget::STATEMENTS,
        gauges::STATEMENTS,
        hear::STATEMENTS,
        lanes::statements::STATEMENTS,
        left::STATEMENTS,
        look_up::STATEMENTS,
        mutes::STATEMENTS,
        outbox::STATEMENTS,
        pictures::STATEMENTS,
        records::STATEMENTS,
        rejected::STATEMENTS,
        replay::STATEMENTS,
        rooms::STATEMENTS,
        stats::STATEMENTS,
        sweep::STATEMENTS,
        transcript::STATEMENTS,
    ]
    .concat()
}
