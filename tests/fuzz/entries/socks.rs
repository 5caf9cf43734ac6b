#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| vendorwatch::inspect::fuzzing::socks(octets));
