//! A strict GroupMe on loopback, for tests (in-process) and for `cargo xtask up` (the binary).
//!
//! It answers as GroupMe does, keeps what happened, complains of every request that GroupMe does not promise to take,
//! finds what Talkback does wrong in its rooms, and misbehaves on order.

mod api;
mod callback;
mod config;
mod control;
mod fault;
mod finding;
mod guard;
mod line;
mod millis;
pub mod pace;
mod page;
mod picture;
mod post;
mod sample;
mod sim;
mod socket;
mod watch;
mod world;

pub use callback::{CallbackAttempt, CallbackMode};
pub use config::{Bot, SimConfig};
pub use fault::{Endpoint, Fault, What};
pub use finding::{Finding, Kind, Weight};
pub use line::{Line, SenderType};
pub use post::Post;
pub use sim::{NotYet, Sim};
