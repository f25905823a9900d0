#![no_main]

#[path = "../../crates/image/tests/mutation/target.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    target::load(data);
});
