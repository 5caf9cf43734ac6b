#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| vendorwatch::capture::file::fuzzing::capture_file(
    octets
));
