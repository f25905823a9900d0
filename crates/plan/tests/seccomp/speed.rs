//! How long the default profile takes: `cargo test --release -p plan --test seccomp_speed -- --ignored --nocapture`.

use plan::seccomp::{Arch, compile, default_profile};
use std::time::Instant;

const CAPS: [&str; 3] = ["CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT"];

#[test]
fn the_default_program_is_short() {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let program = compile(&default_profile(&CAPS, arch), arch).unwrap();
        assert!(program.instructions.len() <= 700, "{arch:?}: {}", program.instructions.len());
    }
}

#[test]
#[ignore = "a measurement"]
fn the_default_profile_takes() {
    let profile = default_profile(&CAPS, Arch::X86_64);
    println!("{} instructions", compile(&profile, Arch::X86_64).unwrap().instructions.len());
    println!("default_profile: {} µs", best_of_200(|| drop(default_profile(&CAPS, Arch::X86_64))));
    println!("compile: {} µs", best_of_200(|| drop(compile(&profile, Arch::X86_64))));
}

fn best_of_200(run: impl Fn()) -> u128 {
    let once = || {
        let start = Instant::now();
        run();
        start.elapsed().as_micros()
    };
    (0..200).map(|_| once()).min().unwrap_or_default()
}
