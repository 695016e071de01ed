//! See `tests/properties/src/source.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (talkback_properties::target("source").holds)(bytes));
