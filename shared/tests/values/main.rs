//! The values of the library, from outside: vectors, properties, and every payload in `events/`.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says by a panic that it failed")]
mod alarms;
mod compose;
mod events;
mod machines;
mod payloads;
mod sanitize;
