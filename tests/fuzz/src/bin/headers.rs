//! libFuzzer's program for [`foreshadow_fuzz::headers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foreshadow_fuzz::headers::fuzz(data));
