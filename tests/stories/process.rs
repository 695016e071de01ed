//! The relay as it runs: every function a process of its own under cargo-lambda's emulator, the bridge's own program,
//! a broker with a virtual host and a database per story; and what is done to it: processes killed and frozen,
//! connections cut. Everything is started here and ended by its process id, also when a story fails.
mod away;
mod browser;
pub mod chance;
mod clocks;
mod crowd;
mod doctor;
pub mod emulator;
mod freezes;
mod functions;
pub mod host;
mod kills;
mod logger;
mod main_job;
mod outages;
mod reckoning;
mod repeats;
mod ticks;
mod traffic;
pub mod works;
