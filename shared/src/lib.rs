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
//! | [`start`] | what every function does first |
//! | [`relay`] | accept and dispatch: the one place that knows all the parts |
//! | [`chat`], [`command`] | a line said in the room: record it, confirm with it, or obey it |
//! | [`channel`] | one file per channel: limits, `post`, and `upload` |
//! | [`guard`] | until when a call may begin |
//! | [`fetch`] | pictures from the web, asked for only where that is safe |
//! | [`store`] | Postgres: SQL, and nothing but SQL |
//! | [`broker`] | RabbitMQ: topology, confirmed publishing |
//! | [`seal`] | sealed columns and look-up hashes |
//! | [`config`] | the environment: its only reader |
//! | [`telemetry`] | JSON logs |
//! | [`amqp_event`] | the event that Lambda makes of an Amazon MQ queue: no I/O |
//! | [`message`], [`text`], [`picture`], [`route`], [`source`], [`compose`], [`delivery`], [`send_key`], [`json`], `alarm` | values: no I/O |
//!
//! Without the default feature `store` there is no Postgres, and nothing that stands on it: who posts by itself when
//! Talkback is down (`talkback-producer`) has the same values, channels and broker.
mod alarm;
pub mod amqp_event;
pub mod broker;
pub mod channel;
#[cfg(feature = "store")]
pub mod chat;
#[cfg(feature = "store")]
pub mod command;
pub mod compose;
pub mod config;
pub mod delivery;
pub mod fetch;
pub mod guard;
pub mod json;
pub mod message;
pub mod picture;
#[cfg(feature = "store")]
pub mod relay;
pub mod route;
pub mod seal;
pub mod send_key;
pub mod source;
#[cfg(feature = "store")]
pub mod start;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "store")]
pub mod telemetry;
pub mod text;
pub mod tls;
