//! See `tests/properties/src/text.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (talkback_properties::target("text").holds)(bytes));
