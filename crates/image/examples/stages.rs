//! What the bench of `pull` needs with the store's own libraries: images to pull, and the stages of a pull, each alone.
//!
//!   stages make FOLDER MEGABYTES LAYERS SEED   FOLDER/manifest, and what it names as FOLDER/sha256/HEX
//!   stages time FILE FOLDER                    a line for each stage of that layer: seconds, seconds of CPU, its name

#![expect(clippy::print_stdout, reason = "a program for the bench")]

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use image::limit::Limit;
use image::unpack::{Rights, unpack};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use spec::image::{Descriptor, Platform, media};
use spec::{DiffId, Digest};
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", folder, megabytes, layers, seed] => {
            make(Path::new(folder), megabytes.parse()?, layers.parse()?, seed.parse()?)
        }
        ["time", file, folder] => time(Path::new(file), Path::new(folder)),
        _ => Err("usage: stages make FOLDER MEGABYTES LAYERS SEED | stages time FILE FOLDER".into()),
    }
}

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from((self.roll() >> 11) % end).unwrap_or_default()
    }

    /// Small ones more often, as words of a language are.
    fn skewed(&mut self, end: usize) -> usize {
        let roll = self.below(1 << 16);
        (((((roll * roll) >> 16) * roll) >> 16) * end) >> 16
    }
}

/// What files are made of. Packed they are a third of their size, as those of a distribution are.
struct Stuff {
    words: Vec<Vec<u8>>,
    codes: Vec<Vec<u8>>,
}

impl Stuff {
    fn new(dice: &mut Dice) -> Self {
        let word = |dice: &mut Dice| {
            let letters = 2 + dice.below(8);
            let mut word: Vec<u8> = (0..letters).map(|_| b"etaoinshrdlucmfw"[dice.skewed(16)]).collect();
            word.push(if dice.below(12) == 0 { b'\n' } else { b' ' });
            word
        };
        let code = |dice: &mut Dice| (0..4 + dice.below(24)).map(|_| dice.roll().to_le_bytes()[3]).collect();
        Self { words: (0..4000).map(|_| word(dice)).collect(), codes: (0..6000).map(|_| code(dice)).collect() }
    }

    fn file(&self, dice: &mut Dice, size: usize) -> Vec<u8> {
        let mut content = Vec::with_capacity(size + 32);
        let kind = dice.below(20);
        while content.len() < size {
            match kind {
                // What is packed already.
                0 => content.extend_from_slice(&dice.roll().to_le_bytes()),
                1..=5 => content.extend_from_slice(&self.codes[dice.skewed(self.codes.len())]),
                _ => content.extend_from_slice(&self.words[dice.skewed(self.words.len())]),
            }
        }
        content.truncate(size);
        content
    }
}

/// Many small files, and most of the bytes in few large ones.
fn size(dice: &mut Dice) -> usize {
    match dice.below(100) {
        0..70 => dice.below(12 << 10),
        70..97 => dice.below(100 << 10),
        _ => dice.below(3 << 20),
    }
}

fn make(folder: &Path, megabytes: u64, layers: u64, seed: u64) -> Result<()> {
    let blobs = folder.join("sha256");
    fs::create_dir_all(&blobs)?;
    let mut dice = Dice(seed | 1 << 40);
    let stuff = Stuff::new(&mut dice);
    // No two of the same size.
    let parts = layers * (layers + 1) / 2;
    let (mut descriptors, mut diff_ids) = (vec![], vec![]);
    for number in 1..=layers {
        let (blob, diff_id) =
            layer(&blobs, &format!("layer{number}"), (megabytes << 20) * number / parts, &stuff, &mut dice)?;
        descriptors.push(blob);
        diff_ids.push(diff_id);
    }
    let config = json!({ "architecture": Platform::native().architecture, "os": "linux", "config": { "Cmd": ["true"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = config.to_string().into_bytes();
    let digest = Digest::of(&config);
    fs::write(blobs.join(digest.hex()), &config)?;
    let manifest = json!({ "schemaVersion": 2, "mediaType": media::MANIFEST,
        "config": Descriptor::new(media::CONFIG, digest, config.len() as u64), "layers": descriptors });
    Ok(fs::write(folder.join("manifest"), manifest.to_string())?)
}

/// A layer of so many bytes before it is packed.
fn layer(blobs: &Path, name: &str, bytes: u64, stuff: &Stuff, dice: &mut Dice) -> Result<(Descriptor, DiffId)> {
    let file = blobs.join(name);
    let packed = Hashed::new(BufWriter::new(File::create(&file)?));
    let mut archive = tar::Builder::new(Hashed::new(GzEncoder::new(packed, Compression::default())));
    let (mut left, mut number) = (bytes, 0);
    while left > 0 {
        let size = size(dice).min(usize::try_from(left)?);
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        let path = format!("usr/share/{name}/{}/{number}", number / 40);
        archive.append_data(&mut header, path, stuff.file(dice, size).as_slice())?;
        left = left.saturating_sub(size as u64 + 512);
        number += 1;
    }
    let content = archive.into_inner()?;
    let diff_id = DiffId(Digest::finish(content.hash));
    let mut packed = content.to.finish()?;
    packed.flush()?;
    let digest = Digest::finish(packed.hash);
    fs::rename(file, blobs.join(digest.hex()))?;
    Ok((Descriptor::new(media::LAYER_GZIP, digest, packed.size), diff_id))
}

struct Hashed<W> {
    to: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashed<W> {
    fn new(to: W) -> Self {
        Self { to, hash: Sha256::new(), size: 0 }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Of one stage: by the clock, and what it had of a processor.
#[derive(Default, Clone, Copy)]
struct Taken {
    wall: Duration,
    cpu: Duration,
}

impl Taken {
    fn add<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (start, cpu) = (Instant::now(), processor()?);
        let done = work()?;
        self.wall += start.elapsed();
        self.cpu += processor()?.saturating_sub(cpu);
        Ok(done)
    }

    fn print(self, name: &str) {
        println!("{:.3} {:.3} {name}", self.wall.as_secs_f64(), self.cpu.as_secs_f64());
    }
}

/// Of this thread, the only one (proc_pid_schedstat: nanoseconds).
fn processor() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}

fn time(file: &Path, folder: &Path) -> Result<()> {
    let [mut blob, mut inflate, mut content, mut disk, mut tree, mut sync] = [Taken::default(); 6];
    blob.add(|| hash(File::open(file)?))?;
    let tar = folder.join("tar");
    let mut plain = File::create_new(&tar)?;
    let mut packed = MultiGzDecoder::new(BufReader::with_capacity(1 << 17, File::open(file)?));
    let mut bytes = vec![0; 16 << 20];
    let mut hash = Sha256::new();
    loop {
        let n = inflate.add(|| fill(&mut packed, &mut bytes))?;
        if n == 0 {
            break;
        }
        content.add(|| {
            hash.update(&bytes[..n]);
            Ok(())
        })?;
        disk.add(|| Ok(plain.write_all(&bytes[..n])?))?;
    }
    std::hint::black_box(hash.finalize());
    disk.add(|| Ok(plain.sync_all()?))?;
    let root = folder.join("tree");
    fs::create_dir(&root)?;
    let root = File::open(&root)?;
    let archive = BufReader::with_capacity(1 << 17, File::open(&tar)?);
    tree.add(|| Ok(unpack(root.as_fd(), archive, Rights::current(), Limit(u64::MAX))?))?;
    sync.add(|| Ok(rustix::fs::syncfs(&root)?))?;
    blob.print("sha256 of the blob");
    inflate.print("inflate");
    content.print("sha256 of the content");
    disk.print("content to the disk, one file");
    tree.print("unpack, to the page cache");
    sync.print("the tree to the disk (syncfs)");
    fs::remove_file(tar)?;
    Ok(fs::remove_dir_all(folder.join("tree"))?)
}

fn hash(mut from: impl Read) -> Result<()> {
    let (mut hash, mut bytes) = (Sha256::new(), vec![0; 1 << 17]);
    loop {
        match from.read(&mut bytes)? {
            0 => break,
            n => hash.update(&bytes[..n]),
        }
    }
    std::hint::black_box(hash.finalize());
    Ok(())
}

/// By the pieces that the pipeline has.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        let end = bytes.len().min(length + (1 << 17));
        match from.read(&mut bytes[length..end])? {
            0 => break,
            n => length += n,
        }
    }
    Ok(length)
}
