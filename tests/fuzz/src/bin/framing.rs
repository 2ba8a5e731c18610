//! libFuzzer's program for [`foreshadow_fuzz::framing`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foreshadow_fuzz::framing::fuzz(data));
