//! See `tests/properties/src/http.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (talkback_properties::target("http").holds)(bytes));
