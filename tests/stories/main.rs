//! Stories across real Postgres, real RabbitMQ and the real functions; only GroupMe is simulated, strictly, over HTTP.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(unreachable_pub, reason = "a test binary has no public interface")]

mod lanes;
mod main_job;
mod reviewed;
mod station;
mod storm;
