//! Where the functions of the release lie that a container's start runs: side by side, as `order.txt` lists them.
//!
//! They are a seventh of the program. Spread over all of it, each page that the kernel maps with the one that is asked for
//! is memory and time for nothing (bench/order makes the list, and says what it saves).

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=order.txt");
    println!("cargo:rerun-if-env-changed=SAMPAN_MAP");
    // Where everything lies: the program itself has no symbols any more, and one that has them has others.
    if let Ok(map) = var("SAMPAN_MAP") {
        println!("cargo:rustc-link-arg-bins=-Wl,-Map={map}");
    }
    // The names are those that one compiler gives for one kind of machine; of others the linker finds none.
    let target = var("TARGET").unwrap_or_default();
    if target == "x86_64-unknown-linux-gnu" && var("PROFILE").as_deref() == Ok("release") {
        let list = format!("{}/order.txt", var("CARGO_MANIFEST_DIR").unwrap_or_default());
        println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={list},--no-warn-symbol-ordering");
    }
}
