//! Says something in a group chat through Talkback; where Talkback does not answer in time, posts it itself, and tells
//! Talkback of that afterwards. The protocol, for any language, is in README.md beside this.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use talkback_producer::{Message, Outcome, Producer, Settings};
//!
//! let producer = Producer::new(Settings::from_vars(&std::env::vars().collect())?)?;
//! let message = Message::new("source.standard", "The transmitter link is back.")?;
//! match producer.send(&message).await {
//!     Outcome::Talkback { .. } | Outcome::Posted { .. } => {}
//!     other => eprintln!("{}: {other}", message.uid()),
//! }
//! producer.flush(std::time::Duration::from_secs(5)).await;
//! producer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! The library prints nothing, logs nothing, and reads neither the environment nor the clock of anybody else. No error
//! holds an address, a secret or what was said. But lapin, by which it speaks with the broker, logs what the broker
//! returns: messages with what they say, records with the bot id. A program with a log subscriber leaves it out by the
//! filter [`QUIET`].
mod flush;
mod journal;
mod message;
mod outcome;
mod own_turn;
mod producer;
mod replies;
mod settings;
mod spool;
mod take_over;
mod trace;

pub use flush::Flushed;
pub use message::{Message, MessageError};
pub use outcome::{Because, Outcome, Recorded};
pub use producer::{Producer, ProducerError};
pub use settings::{Fault, MARGIN, Settings, SettingsError, duration, margin};
pub use spool::SpoolError;
pub use talkback::broker::QUIET;
pub use talkback::message::Priority;
