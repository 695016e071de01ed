//! What `cargo xtask` is made of. Tests use [`servers`] to have a Postgres and a RabbitMQ of their own.
//! Plain threads and few dependencies: this is the first thing that a newcomer's machine compiles.

pub mod accounts;
pub mod bench;
pub mod cargo;
pub mod chaos;
pub mod checkout;
pub mod children;
pub mod demo;
pub mod deployed;
pub mod fuzz;
pub mod http;
pub mod images;
pub mod install;
mod interrupt;
pub mod key;
pub mod openapi;
pub mod operator;
pub mod pids;
pub mod ports;
pub mod programs;
pub mod progress;
pub mod publish;
pub mod secrets;
pub mod servers;
pub mod test;
mod testbed;
pub mod up;
