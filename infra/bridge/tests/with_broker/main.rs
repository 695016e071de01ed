//! Talkback's broker and the bridge against a real RabbitMQ, each test in a virtual host of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test tells by a panic what went wrong")]

mod bridging;
mod function;
mod patterns;
mod program;
mod proxy;
mod publishing;
mod stamp;
mod topology;
mod vhost;
