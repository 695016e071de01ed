//! See `tests/properties/src/event.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (talkback_properties::target("event").holds)(bytes));
