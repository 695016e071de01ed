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
//! | [`message`], [`text`], [`route`], [`source`], [`compose`], [`delivery`], [`json`] | values: no I/O |
//! | [`amqp_event`] | the event that Lambda makes of an Amazon MQ queue: no I/O |
//! | [`broker`] | RabbitMQ: topology, confirmed publishing |
//! | [`tls`] | the one TLS stack |
pub mod amqp_event;
pub mod broker;
pub mod compose;
pub mod delivery;
pub mod json;
pub mod message;
pub mod route;
pub mod source;
pub mod text;
pub mod tls;
