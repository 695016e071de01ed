//! See `tests/properties/src/json.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (talkback_properties::target("json").holds)(bytes));
