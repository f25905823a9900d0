//! Archives, documents and names that nobody meant: honest ones, changed at random, the same way each time.
//!
//! `ROUNDS` is how many changes each target gets, `SEED` where they begin. A failure prints what it was for.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

#[path = "../archive/mod.rs"]
mod archive;
#[path = "../../../../fuzz/random.rs"]
mod random;
mod target;

use archive::{entry, pax};
use random::{Random, number};
use spec::image::{Descriptor, ImageConfig, Index, Manifest, media};
use spec::{DiffId, Digest};
use std::panic::catch_unwind;
use std::time::{Duration, Instant};
use tar::EntryType::{Char, Directory, Fifo, GNUSparse, Link, Regular, Symlink};

/// Bytes that mean something somewhere.
const TELLING: &[u8] = b"/.\0-07Aw59,:{}[]\"\n \xff\x80xgLKS";

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(6) {
        0 if !bytes.is_empty() => drop(bytes.remove(at)),
        1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        2 => bytes.insert(at, *random.pick(TELLING)),
        3 if !bytes.is_empty() => bytes.truncate(at),
        4 => {
            let from = random.below(other.len());
            let piece = &other[from..(from + 512 * (1 + random.below(3))).min(other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        _ if !bytes.is_empty() => bytes[at] = *random.pick(TELLING),
        _ => {}
    }
}

/// Whole blocks, and a byte of a header: most of what tar says is in its first 157 bytes.
fn change_blocks(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() / 512) * 512;
    match random.below(5) {
        0 => {
            let from = random.below(other.len() / 512) * 512;
            bytes.splice(at..at, other[from..(from + 1024).min(other.len())].iter().copied());
        }
        1 => drop(bytes.drain(at..(at + 512).min(bytes.len()))),
        _ if at + 512 <= bytes.len() => bytes[at + random.below(157)] = *random.pick(TELLING),
        _ => {}
    }
    for header in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

type Change = fn(&mut Vec<u8>, &[u8], &mut Random);

#[track_caller]
fn mutate(rounds: u64, seeds: &[Vec<u8>], run: fn(&[u8]) -> bool, changes: &[Change]) {
    let check = |data: &[u8]| {
        let begun = Instant::now();
        let accepted = catch_unwind(|| run(data)).unwrap_or_else(|_| panic!("{}", data.escape_ascii()));
        assert!(begun.elapsed() < Duration::from_secs(30), "took {:?}: {}", begun.elapsed(), data.escape_ascii());
        accepted
    };
    seeds.iter().for_each(|seed| assert!(check(seed), "{}", seed.escape_ascii()));
    let mut random = Random(number("SEED", 0x5a3b_a11e));
    let rounds = number("ROUNDS", rounds);
    let mut accepted = 0;
    for _ in 0..rounds {
        let mut bytes = random.pick(seeds).clone();
        for _ in 0..=random.below(4) {
            let other = random.pick(seeds);
            random.pick(changes)(&mut bytes, other, &mut random);
        }
        accepted += u64::from(check(&bytes));
    }
    println!("{accepted} of {rounds} accepted");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse::<u64>().ok());
    assert!(peak.unwrap() < 1 << 20, "{peak:?} KiB of memory");
    // Changes that are all refused would try nothing but the first check.
    assert!(rounds < 200 || accepted > rounds / 200);
}

fn layers() -> Vec<Vec<u8>> {
    let mut plain = vec![];
    entry(&mut plain, "d/", Directory, "", b"");
    entry(&mut plain, "d/f", Regular, "", b"content");
    entry(&mut plain, "d/l", Symlink, "../..", b"");
    entry(&mut plain, "d/l/up", Regular, "", b"x");
    entry(&mut plain, "h", Link, "d/f", b"");
    entry(&mut plain, "d/.wh.gone", Regular, "", b"");
    entry(&mut plain, "d/.wh..wh..opq", Regular, "", b"");
    let mut odd = vec![];
    pax(&mut odd, &[("path", b"long/name"), ("mtime", b"1.5"), ("uid", b"0"), ("SCHILY.xattr.user.a", b"\n6 a=b\n")]);
    entry(&mut odd, "x", Regular, "", b"1234");
    pax(&mut odd, &[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9"), ("GNU.sparse.name", b"holes")]);
    let mut map = b"1\n5\n4\n".to_vec();
    map.resize(512, 0);
    entry(&mut odd, "y", Regular, "", &[&map[..], b"data"].concat());
    entry(&mut odd, "././@LongLink", tar::EntryType::GNULongName, "", b"another/long/name\0");
    entry(&mut odd, "z", Fifo, "", b"");
    archive::entry_of(&mut odd, "old", GNUSparse, "", b"data", |header| {
        header.set_mode(0o644);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.sparse[0].offset[..11].copy_from_slice(b"00000000005");
        gnu.sparse[0].numbytes[..11].copy_from_slice(b"00000000004");
        gnu.realsize[..11].copy_from_slice(b"00000000011");
    });
    entry(&mut odd, "l", Symlink, "/proc/self/root", b"");
    vec![ended(plain), ended(odd)]
}

fn ended(mut tar: Vec<u8>) -> Vec<u8> {
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn config(layer: &[u8]) -> Vec<u8> {
    let mut config = ImageConfig { platform: spec::image::Platform::native(), ..ImageConfig::default() };
    config.rootfs.diff_ids = vec![DiffId(Digest::of(layer))];
    serde_json::to_vec(&config).unwrap()
}

fn manifest(config: &[u8], layer: &[u8]) -> Vec<u8> {
    let of = |kind, bytes: &[u8]| Descriptor::new(kind, Digest::of(bytes), bytes.len() as u64);
    let config = of(media::CONFIG, config);
    serde_json::to_vec(
        &serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [of(media::LAYER, layer)] }),
    )
    .unwrap()
}

fn index(manifest: &[u8]) -> Vec<u8> {
    let mut entry = Descriptor::new(media::MANIFEST, Digest::of(manifest), manifest.len() as u64);
    entry.platform = Some(spec::image::Platform::native());
    serde_json::to_vec(&Index { manifests: vec![entry], ..Index::default() }).unwrap()
}

/// docker's older form, and OCI's.
fn archives() -> Vec<Vec<u8>> {
    let layer = layers().swap_remove(0);
    let config = config(&layer);
    let manifest = manifest(&config, &layer);
    assert!(serde_json::from_slice::<Manifest>(&manifest).is_ok());
    let list = br#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}]"#;
    let mut old = vec![];
    entry(&mut old, "manifest.json", Regular, "", list);
    entry(&mut old, "c.json", Regular, "", &config);
    entry(&mut old, "l/layer.tar", Symlink, "../layer.tar", b"");
    entry(&mut old, "layer.tar", Regular, "", &layer);
    let mut new = vec![];
    entry(&mut new, "index.json", Regular, "", &index(&manifest));
    for blob in [&manifest, &config, &layer] {
        let hex = Digest::of(blob).hex();
        entry(&mut new, &format!("blobs/sha256/{hex}"), Regular, "", blob);
    }
    vec![ended(old), ended(new)]
}

#[test]
fn unpack() {
    let mut seeds = layers();
    let mut device = vec![];
    entry(&mut device, "d/", Directory, "", b"");
    archive::entry_of(&mut device, "null", Char, "", b"", |header| {
        header.set_mode(0o666);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    });
    seeds.push(ended(device));
    mutate(1500, &seeds, target::unpack, &[change, change_blocks, change_blocks, change_blocks]);
}

#[test]
fn load() {
    mutate(200, &archives(), target::load, &[change, change_blocks, change_blocks]);
}

#[test]
fn documents() {
    let layer = layers().swap_remove(0);
    let config = config(&layer);
    let manifest = manifest(&config, &layer);
    mutate(20_000, &[index(&manifest), manifest, config], target::document, &[change]);
}

#[test]
fn reference() {
    let digest = format!("a/b@sha256:{}", "0".repeat(64));
    let seeds = ["busybox", "localhost:5000/a/b:tag", "quay.io/a_b/c.d--e:1.2", "[::1]:5000/x", &digest];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
    mutate(20_000, &seeds, target::reference, &[change]);
}
