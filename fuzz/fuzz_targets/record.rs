//! One record of the log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peerage_index::fuzzing::record(bytes));
