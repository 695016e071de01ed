//! RabbitMQ to function: what Amazon's event source mapping and schedule do, where there is no AWS. It knows the queue,
//! the event and the invocation; it knows nothing of messages.
//!
//! One queue, one invocation at a time; a batch is acknowledged when its invocation succeeded, and returned whole when it
//! did not. Ticks are invocations of their own, each one at a time.

pub mod arguments;
pub mod back_off;
pub mod consume;
pub mod event;
pub mod function;
pub mod tick;
