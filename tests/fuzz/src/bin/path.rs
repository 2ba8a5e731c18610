//! libFuzzer's program for [`foreshadow_fuzz::path`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foreshadow_fuzz::path::fuzz(data));
