#![no_main]

#[path = "../../tests/adversarial_input/mod.rs"]
mod adversarial_input;

libfuzzer_sys::fuzz_target!(|data: &[u8]| adversarial_input::cursor::fuzz(data));
