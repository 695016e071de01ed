//! Talkback: the line between a station's machines and its group chat.
//!
//! Sources reach the relay over RabbitMQ or HTTP. It cleans, routes and dresses each message, posts it to the right
//! room at the pace the chat's API allows, records every call, and obeys commands typed in the chat. Postgres holds
//! the work; the queue and HTTP are doors.
//!
//! The modules, top to bottom; arrows point down only. *Values* know no async, clock, network, environment or Lambda.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`message`], [`text`], [`route`], [`source`], [`compose`], [`delivery`], [`send_key`] | values: no I/O |
//! | [`seal`] | sealed columns and look-up hashes |
//! | [`config`] | the environment: its only reader |
//! | [`telemetry`] | JSON logs |
pub mod compose;
pub mod config;
pub mod delivery;
pub mod message;
pub mod route;
pub mod seal;
pub mod send_key;
pub mod source;
pub mod telemetry;
pub mod text;
