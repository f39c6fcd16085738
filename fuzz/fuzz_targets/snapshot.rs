//! A snapshot or segment file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peerage_index::fuzzing::snapshot(bytes));
