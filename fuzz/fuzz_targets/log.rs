//! A log file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peerage_index::fuzzing::log(bytes));
