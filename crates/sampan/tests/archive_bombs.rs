//! Archives that make much of little.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, ran};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// An entry of a ustar (pax(1)): name, mode, owner, size, time, checksum, type.
fn file(tar: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let mut header = format!("{name:\0<100}0000644\0{0:07o}\0{0:07o}\0{1:011o}\0{0:011o}\0        0", 0, bytes.len());
    header.extend(std::iter::repeat_n('\0', 512 - header.len()));
    let sum: u32 = header.bytes().map(u32::from).sum();
    header.replace_range(148..155, &format!("{sum:06o}\0"));
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// docker's older form, of one layer; gzip'd as a whole.
fn archive(config: &[u8], layer: &[u8], more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = vec![];
    let list = serde_json::json!([{ "Config": "c.json", "RepoTags": ["a:1"], "Layers": ["layer.tar"] }]).to_string();
    let own = [("manifest.json", list.as_bytes()), ("c.json", config), ("layer.tar", layer)];
    more.iter().chain(&own).for_each(|(name, bytes)| file(&mut tar, name, bytes));
    gzip(&tar)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip").arg("-1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        gzip.wait_with_output().unwrap().stdout
    })
}

#[test]
fn a_bomb_is_refused_by_a_limit_that_has_a_name() {
    let Some(ground) = Ground::new() else { return };
    let load = |archive: &[u8], limit: &str| {
        let path = ground.dir.join("a.tar.gz");
        fs::write(&path, archive).unwrap();
        let mut command = ground.command(&["load"]);
        command.env("SAMPAN_MAX_LAYER_SIZE", limit).stdin(Stdio::from(fs::File::open(path).unwrap()));
        ran(command.output().unwrap())
    };
    let mut layer = vec![];
    file(&mut layer, "zeros", &vec![0; 8 << 20]);
    let config = |more: serde_json::Value| {
        serde_json::json!({ "architecture": spec::image::Platform::native().architecture, "os": "linux", "more": more,
            "rootfs": { "type": "layers", "diff_ids": [spec::Digest::of(&layer)] } })
        .to_string()
    };
    let small = config(0.into());
    let honest = archive(small.as_bytes(), &gzip(&layer), &[]);
    load(&honest, "1m").fails(1, "the layer is larger than 1MiB when it is unpacked");
    load(&honest, "1m").fails(1, "SAMPAN_MAX_LAYER_SIZE=SIZE, or none, permits more");
    load(&honest, "much").fails(1, "cannot use SAMPAN_MAX_LAYER_SIZE=much");
    // What follows the layer's end mark counts, too: it is hashed.
    let tail = [&layer[..], &vec![0; 32 << 20]].concat();
    load(&archive(small.as_bytes(), &gzip(&tail), &[]), "16m").fails(1, "larger than 16MiB");
    let long = config("x".repeat(17 << 20).into());
    load(&archive(long.as_bytes(), &layer, &[]), "").fails(1, "c.json is longer than 16MiB, and no document is");
    // A name twice is the later one; that a number of its own was not given to each failed once.
    let again = [("c.json", &b"{"[..]), ("c.json", b"{"), ("b", b""), ("b", b"")];
    assert_eq!(load(&archive(small.as_bytes(), &layer, &again), "none").ok(), "Loaded image: a:1");
    assert_eq!(load(&honest, "9m").ok(), "Loaded image: a:1");
    assert_eq!(fs::read_dir(ground.dir.join("data/tmp")).unwrap().count(), 0);
}
