//! Bytes from one thread to the next, in chunks: the stages of a layer's way in run side by side.
//!
//! Invariant: a stage that is ahead waits, so memory does not grow with the layer. An error goes down the pipe behind the
//! bytes before it, and who is last tells it; a stage whose taker has gone goes too.

use std::collections::VecDeque;
use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Large beside what handing one over costs, small beside a core's cache.
const CHUNK: usize = 1 << 17;
/// Chunks under way between two stages.
const AHEAD: usize = 4;

type Chunk = Arc<Vec<u8>>;

pub(crate) struct Inlet {
    to: SyncSender<io::Result<Chunk>>,
    /// Who wants the bytes too, and none of the errors.
    aside: Option<SyncSender<Chunk>>,
    /// What has been handed over, the oldest first: used again once nobody reads it any more.
    gone: VecDeque<Chunk>,
}

pub(crate) struct Outlet {
    from: Receiver<io::Result<Chunk>>,
    chunk: Option<Chunk>,
    at: usize,
}

pub(crate) fn pipe() -> (Inlet, Outlet) {
    let (to, from) = sync_channel(AHEAD);
    (Inlet { to, aside: None, gone: VecDeque::new() }, Outlet { from, chunk: None, at: 0 })
}

impl Inlet {
    /// The same bytes once more.
    pub fn aside(&mut self) -> Receiver<Chunk> {
        let (to, from) = sync_channel(AHEAD);
        self.aside = Some(to);
        from
    }

    pub fn without_aside(&mut self) {
        self.aside = None;
    }

    /// Reads to the end, or to the error. Whether anyone wants more.
    pub fn pump(&mut self, mut from: impl Read) -> bool {
        loop {
            let mut chunk = self.free();
            // Nobody else has it.
            let filled = Arc::get_mut(&mut chunk).map_or(Ok(()), |bytes| fill(&mut from, bytes));
            match filled {
                Ok(()) if chunk.is_empty() => return true,
                Ok(()) if !self.hand_over(chunk) => return false,
                Ok(()) => {}
                Err(error) => return self.fail(error),
            }
        }
    }

    pub fn fail(&mut self, error: io::Error) -> bool {
        let _ = self.to.send(Err(error));
        false
    }

    fn free(&mut self) -> Chunk {
        match self.gone.front_mut().map(|oldest| Arc::get_mut(oldest).is_some()) {
            Some(true) => self.gone.pop_front().unwrap_or_default(),
            _ => Chunk::default(),
        }
    }

    fn hand_over(&mut self, chunk: Chunk) -> bool {
        self.gone.push_back(chunk.clone());
        let aside = self.aside.as_ref().is_none_or(|aside| aside.send(chunk.clone()).is_ok());
        aside && self.to.send(Ok(chunk)).is_ok()
    }
}

/// As far as it goes: what arrives in small pieces is not handed over in small pieces.
fn fill(from: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(CHUNK, 0);
    let mut length = 0;
    while length < CHUNK {
        match from.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(())
}

impl BufRead for Outlet {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.as_ref().is_none_or(|chunk| self.at == chunk.len()) {
            // Given back before the next is waited for.
            (self.chunk, self.at) = (None, 0);
            self.chunk = self.from.recv().ok().transpose()?;
        }
        Ok(self.chunk.as_ref().map_or(&[], |chunk| &chunk[self.at..]))
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
    }
}

impl Read for Outlet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::{AHEAD, CHUNK, pipe};
    use std::io::{self, Read};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    /// Counts what is read of it, and breaks off at a place.
    struct Counted<'a>(&'a AtomicU64, u64);

    impl Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let at = self.0.load(Ordering::Relaxed);
            if at >= self.1 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            // Odd pieces.
            let n = buffer.len().min(1 + usize::try_from(at % 70_001).unwrap());
            buffer[..n].iter_mut().zip(at..).for_each(|(byte, at)| *byte = (at % 251) as u8);
            self.0.fetch_add(n as u64, Ordering::Relaxed);
            Ok(n)
        }
    }

    #[test]
    fn bytes_arrive_in_order_and_then_the_error() {
        let (mut inlet, mut outlet) = pipe();
        let aside = inlet.aside();
        let count = &AtomicU64::new(0);
        let whole = 40 * CHUNK as u64;
        thread::scope(|scope| {
            scope.spawn(move || {
                inlet.pump(Counted(count, whole).take(whole - 5));
                inlet.pump(Counted(&AtomicU64::new(0), 0));
            });
            let copy = scope.spawn(move || aside.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
            let mut bytes = Vec::new();
            let error = outlet.read_to_end(&mut bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            assert_eq!(bytes.len() as u64, whole - 5);
            assert!(bytes.iter().zip(0_u64..).all(|(byte, at)| u64::from(*byte) == at % 251));
            assert_eq!(copy.join().unwrap(), whole - 5);
        });
    }

    #[test]
    fn who_is_ahead_waits_and_goes_with_its_taker() {
        let (mut inlet, mut outlet) = pipe();
        let count = AtomicU64::new(0);
        thread::scope(|scope| {
            let pump = scope.spawn(|| inlet.pump(Counted(&count, u64::MAX)));
            outlet.read_exact(&mut [0; 10]).unwrap();
            let mut before = u64::MAX;
            while before != count.load(Ordering::Relaxed) {
                before = count.load(Ordering::Relaxed);
                thread::sleep(Duration::from_millis(100));
            }
            // One is read, one waits to be handed over.
            assert_eq!(before, (AHEAD as u64 + 2) * CHUNK as u64);
            drop(outlet);
            assert!(!pump.join().unwrap());
        });
    }
}
