//! The disk of the machine: an NBD server (<https://github.com/NetworkBlockDevice/nbd>, doc/proto.md) whose power fails.
//!
//! What a disk with a write cache may do, it does: a write is kept for good once a flush that came after it was answered.
//! At the cut each other one is kept, lost, or torn between two sectors, in whatever order. Killing the machine alone would
//! prove little: what its process has written lies in the host's page cache. Must not: answer after the cut.

use crate::lab::dice::Dice;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SECTOR: usize = 512;

pub struct Disk(Arc<Mutex<State>>);

struct State {
    /// What the machine reads.
    live: File,
    /// What has been flushed.
    kept: File,
    size: u64,
    unflushed: Vec<Write>,
    /// So many more writes and flushes until the power fails.
    left: Option<u64>,
    cut: bool,
    connected: bool,
    flushes: u64,
}

struct Write {
    at: u64,
    bytes: Vec<u8>,
    /// It was written through (FUA).
    through: bool,
}

/// What became of the writes behind the last flush.
#[derive(Debug, Default)]
pub struct Cut {
    pub kept: usize,
    pub lost: usize,
    pub torn: usize,
}

impl Disk {
    /// Listens at `socket` until the process ends. `live` is a copy of `kept`.
    pub fn start(socket: &Path, kept: &Path, live: &Path) -> io::Result<Self> {
        let open = |path| File::options().read(true).write(true).open(path);
        let (live, kept) = (open(live)?, open(kept)?);
        let size = kept.metadata()?.len();
        let state = State { live, kept, size, unflushed: vec![], left: None, cut: false, connected: false, flushes: 0 };
        let state = Arc::new(Mutex::new(state));
        let listener = UnixListener::bind(socket)?;
        let own = Self(state.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                locked(&state).connected = true;
                // It ends with the machine.
                let _ = serve(stream, &state);
                locked(&state).connected = false;
            }
        });
        Ok(own)
    }

    /// Lets the power fail after so many more writes and flushes.
    pub fn fail_after(&self, requests: u64) {
        locked(&self.0).left = Some(requests);
    }

    pub fn has_failed(&self) -> bool {
        locked(&self.0).cut
    }

    /// How often it was flushed, in all.
    pub fn flushes(&self) -> u64 {
        locked(&self.0).flushes
    }

    /// Once the machine is gone: what the next one finds.
    pub fn cut(&self, dice: &mut Dice) -> io::Result<Cut> {
        while locked(&self.0).connected {
            std::thread::sleep(Duration::from_millis(5));
        }
        locked(&self.0).settle(dice)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn settle(&mut self, dice: &mut Dice) -> io::Result<Cut> {
        (self.left, self.cut) = (None, false);
        let writes = std::mem::take(&mut self.unflushed);
        let mut cut = Cut::default();
        // Of all, of none, or of each other one: the three kinds of cache that there are.
        let odds = [0, 100, 50, 80][dice.index(4)];
        for write in &writes {
            let length = write.bytes.len();
            let whole = write.through || dice.index(100) < odds;
            let sectors = match dice.index(4) {
                _ if whole => length / SECTOR,
                0 if odds > 0 => dice.index(length / SECTOR),
                _ => 0,
            };
            match sectors * SECTOR {
                0 => cut.lost += 1,
                n if n == length => cut.kept += 1,
                _ => cut.torn += 1,
            }
            self.kept.write_all_at(&write.bytes[..sectors * SECTOR], write.at)?;
        }
        for write in writes {
            let mut bytes = write.bytes;
            self.kept.read_exact_at(&mut bytes, write.at)?;
            self.live.write_all_at(&bytes, write.at)?;
        }
        Ok(cut)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes += 1;
        std::mem::take(&mut self.unflushed).iter().try_for_each(|write| self.kept.write_all_at(&write.bytes, write.at))
    }

    /// Whether the power is still there for one more request that changes something.
    fn has_power(&mut self) -> bool {
        match &mut self.left {
            Some(0) => self.cut = true,
            Some(left) => *left -= 1,
            None => {}
        }
        !self.cut
    }
}

const OPTION: &[u8; 8] = b"IHAVEOPT";
const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const GO: u32 = 7;
const ACK: u32 = 1;
const INFO: u32 = 3;
const UNSUPPORTED: u32 = (1 << 31) + 1;
/// Has flags; flushes; writes through.
const FLAGS: u16 = 1 | 1 << 2 | 1 << 3;
const FIXED_NEWSTYLE: u16 = 1;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
const FUA: u16 = 1;
const EINVAL: u32 = 22;

fn number<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bytes(from: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn serve(mut stream: UnixStream, state: &Mutex<State>) -> io::Result<()> {
    if !greet(&mut stream, locked(state).size)? {
        return Ok(());
    }
    loop {
        let magic = u32::from_be_bytes(number(&mut stream)?);
        let flags = u16::from_be_bytes(number(&mut stream)?);
        let kind = u16::from_be_bytes(number(&mut stream)?);
        let cookie: [u8; 8] = number(&mut stream)?;
        let at = u64::from_be_bytes(number(&mut stream)?);
        let length = u32::from_be_bytes(number(&mut stream)?);
        if magic != REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let content = if kind == 1 { bytes(&mut stream, length)? } else { vec![] };
        let mut state = locked(state);
        let answer = match kind {
            0 => {
                let mut read = vec![0; usize::try_from(length).unwrap_or_default()];
                state.live.read_exact_at(&mut read, at)?;
                Ok(read)
            }
            1 => {
                state.live.write_all_at(&content, at)?;
                state.unflushed.push(Write { at, bytes: content, through: flags & FUA != 0 });
                // Not answered, it may be on the disk all the same.
                if !state.has_power()
                    && let Some(write) = state.unflushed.last_mut()
                {
                    write.through = false;
                }
                Ok(vec![])
            }
            2 => return Ok(()),
            3 => {
                if state.has_power() {
                    state.flush()?;
                }
                Ok(vec![])
            }
            _ => Err(EINVAL),
        };
        if state.cut {
            continue;
        }
        drop(state);
        stream.write_all(&REPLY.to_be_bytes())?;
        stream.write_all(&answer.as_ref().err().copied().unwrap_or(0).to_be_bytes())?;
        stream.write_all(&cookie)?;
        stream.write_all(&answer.unwrap_or_default())?;
    }
}

/// The handshake; whether requests follow.
fn greet(stream: &mut UnixStream, size: u64) -> io::Result<bool> {
    stream.write_all(b"NBDMAGIC")?;
    stream.write_all(OPTION)?;
    stream.write_all(&FIXED_NEWSTYLE.to_be_bytes())?;
    let _flags: [u8; 4] = number(stream)?;
    loop {
        let magic: [u8; 8] = number(stream)?;
        let option = u32::from_be_bytes(number(stream)?);
        let length = u32::from_be_bytes(number(stream)?);
        let _data = bytes(stream, length)?;
        if magic != *OPTION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut reply = |kind: u32, data: &[u8]| -> io::Result<()> {
            stream.write_all(&0x0003_e889_0455_65a9_u64.to_be_bytes())?;
            stream.write_all(&option.to_be_bytes())?;
            stream.write_all(&kind.to_be_bytes())?;
            stream.write_all(&u32::try_from(data.len()).unwrap_or_default().to_be_bytes())?;
            stream.write_all(data)
        };
        match option {
            GO => {
                let export = [&0_u16.to_be_bytes()[..], &size.to_be_bytes(), &FLAGS.to_be_bytes()].concat();
                reply(INFO, &export)?;
                reply(ACK, &[])?;
                return Ok(true);
            }
            EXPORT_NAME => {
                stream.write_all(&size.to_be_bytes())?;
                stream.write_all(&FLAGS.to_be_bytes())?;
                stream.write_all(&[0; 124])?;
                return Ok(true);
            }
            ABORT => {
                reply(ACK, &[])?;
                return Ok(false);
            }
            _ => reply(UNSUPPORTED, &[])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dice, State, Write};
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    fn state(name: &str) -> Option<State> {
        let file = |name: String| {
            let path = std::env::temp_dir().join(name);
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).ok()?;
            std::fs::remove_file(path).ok()?;
            file.set_len(1 << 20).ok()?;
            Some(file)
        };
        let name = |part| format!("sampan-power-{part}-{name}-{}", std::process::id());
        let (live, kept) = (file(name("live"))?, file(name("kept"))?);
        Some(State {
            live,
            kept,
            size: 1 << 20,
            unflushed: vec![],
            left: None,
            cut: false,
            connected: false,
            flushes: 0,
        })
    }

    fn write(state: &mut State, at: u64, byte: u8, through: bool) {
        assert!(state.live.write_all_at(&[byte; 4096], at).is_ok());
        state.unflushed.push(Write { at, bytes: vec![byte; 4096], through });
    }

    fn read(file: &File, at: u64) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        assert!(file.read_exact_at(&mut bytes, at).is_ok());
        bytes
    }

    #[test]
    fn a_cut_loses_what_was_not_flushed_and_nothing_else() {
        let Some(mut state) = state("cut") else { panic!("no temporary file") };
        let (mut lost, mut torn) = (0, 0);
        for round in 1..200 {
            let mut dice = Dice::of(&[round]);
            write(&mut state, 0, 1, false);
            write(&mut state, 4096, 2, false);
            assert!(state.flush().is_ok());
            write(&mut state, 0, 3, false);
            write(&mut state, 8192, 4, true);
            assert!(state.settle(&mut dice).is_ok());
            for at in [0, 4096, 8192] {
                assert_eq!(read(&state.live, at), read(&state.kept, at));
            }
            assert_eq!(read(&state.kept, 4096), [2; 4096]);
            assert_eq!(read(&state.kept, 8192), [4; 4096]);
            let first = read(&state.kept, 0);
            assert!(first.iter().all(|byte| *byte == 1 || *byte == 3));
            lost += u32::from(first == [1; 4096]);
            torn += u32::from(first[0] == 3 && first[4095] == 1);
        }
        assert!(lost > 20 && torn > 5, "{lost} {torn}");
    }
}
