//! What holds of anything that comes in, whoever made it: one function for each way in, given bytes. The fuzzers in
//! `fuzz/`, the corpus that lies beside them, and generated input all ask the same functions, so that nothing drifts.
#![expect(clippy::panic, reason = "a property says by a panic that it does not hold")]
mod callback;
mod event;
mod http;
mod json;
mod quoted;
mod source;
mod text;

/// A way in, and what holds of it.
#[derive(Clone, Copy)]
pub struct Target {
    /// As its fuzzer and the folder of its corpus are called.
    pub name: &'static str,
    /// Panics if something does not hold of these bytes.
    pub holds: fn(&[u8]),
}

/// Every way in.
pub const TARGETS: [Target; 6] = [
    Target { name: "callback", holds: callback::holds },
    Target { name: "event", holds: event::holds },
    Target { name: "http", holds: http::holds },
    Target { name: "json", holds: json::holds },
    Target { name: "source", holds: source::holds },
    Target { name: "text", holds: text::holds },
];

/// The way in of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name}"))
}
