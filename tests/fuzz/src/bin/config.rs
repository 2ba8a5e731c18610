//! libFuzzer's program for [`foreshadow_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foreshadow_fuzz::config::fuzz(data));
