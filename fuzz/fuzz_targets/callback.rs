//! See `tests/properties/src/callback.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (talkback_properties::target("callback").holds)(bytes));
