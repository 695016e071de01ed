//! The simulator from outside: what it takes, what it refuses, how it misbehaves on order.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "clippy allows these in #[test] functions, not beside")]

mod binary;
mod callbacks;
mod faults;
mod findings;
mod page;
mod pictures;
mod posting;
mod reading;
mod station;
