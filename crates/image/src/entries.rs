//! The entries of a tar of a stranger's, one after the other, in the forms that layers come in: POSIX's with PAX records
//! (pax(1)), and GNU's with long names and sparse maps (its manual, "Basic Tar Format").
//!
//! Invariant: what comes before an entry's content (long names, PAX records, sparse maps) is read into memory and so is
//! bounded; content is not. Where readers of tar differ, this is read as Go's reader does, which docker, containerd and
//! podman have: who looks at a layer with one of them sees what is unpacked here.

use crate::error::{Error, Kind, Result};
use crate::pax::Records;
use crate::sparse::{Map, number};
use rustix::io::Errno;
use std::io::{self, Read, Take};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

/// Attributes have 64 KiB each (xattr(7)), names 4 KiB.
const HEADERS: u64 = 1 << 20;
const BLOCK: u64 = 512;

/// Its content is what can be read of it.
pub struct Entry<'a, R> {
    pub kind: EntryType,
    pub name: Vec<u8>,
    pub link: Option<Vec<u8>>,
    pub header: Header,
    pub records: Records,
    /// Of the content.
    pub size: u64,
    /// Of a sparse file in GNU's older form.
    pub map: Option<Map>,
    content: Take<&'a mut R>,
}

impl<R: Read> Read for Entry<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

impl<R: Read> Entry<'_, R> {
    /// Over what nobody has read of it, to the next header.
    fn pass(mut self) -> Result<()> {
        io::copy(&mut self.content, &mut io::sink()).map_err(broken)?;
        let padding = self.size.wrapping_neg() % BLOCK;
        let short = self.content.limit() > 0;
        let padded = io::copy(&mut self.content.into_inner().take(padding), &mut io::sink()).map_err(broken)?;
        if short || padded < padding { Err(wrong("an entry that breaks off")) } else { Ok(()) }
    }
}

/// Calls `take` with each, and passes over what that leaves of it.
pub fn each<R: Read>(stream: R, mut take: impl FnMut(&mut Entry<'_, R>) -> Result<()>) -> Result<()> {
    let mut reader = Reader { stream, left: 0 };
    while let Some(mut entry) = reader.next()? {
        take(&mut entry)?;
        entry.pass()?;
    }
    Ok(())
}

struct Reader<R> {
    stream: R,
    /// Bytes that may still come before content.
    left: u64,
}

/// What stands before the entry that it is for.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// `None`: the end, marked or not.
    fn next(&mut self) -> Result<Option<Entry<'_, R>>> {
        self.left = HEADERS;
        let mut before = Before::default();
        while let Some(header) = self.header()? {
            let size = header.entry_size().map_err(broken)?;
            let place = match header.entry_type() {
                EntryType::GNULongName => &mut before.name,
                EntryType::GNULongLink => &mut before.link,
                EntryType::XHeader => &mut before.records,
                // Of all entries that follow: nothing that the readers of layers take from there.
                EntryType::XGlobalHeader => {
                    self.before(size)?;
                    continue;
                }
                _ => return self.entry(header, size, before).map(Some),
            };
            if place.is_some() {
                return Err(wrong("two headers of one kind for one entry"));
            }
            *place = Some(self.before(size)?);
        }
        match before {
            Before { name: None, link: None, records: None } => Ok(None),
            _ => Err(wrong("a header for an entry that does not come")),
        }
    }

    fn entry(&mut self, header: Header, size: u64, before: Before) -> Result<Entry<'_, R>> {
        let records = Records::parse(before.records.unwrap_or_default())?;
        let size = records.last(b"size").map_or(Ok(size), number)?;
        // A name of GNU's counts more than one of PAX's.
        let text = |long: Option<Vec<u8>>, key: &[u8]| {
            let text = long.map(|text| text.split(|byte| *byte == 0).next().unwrap_or_default().to_vec());
            text.or_else(|| records.last(key).map(<[u8]>::to_vec))
        };
        let name = text(before.name, b"path").unwrap_or_else(|| header.path_bytes().into_owned());
        let link = text(before.link, b"linkpath").or_else(|| Some(header.link_name_bytes()?.into_owned()));
        let kind = kind(&header, &name);
        let size = if has_content(kind) { size } else { 0 };
        let map = if kind == EntryType::GNUSparse { Some(self.map(&header, size)?) } else { None };
        Ok(Entry { kind, name, link, header, records, size, map, content: (&mut self.stream).take(size) })
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let n = read(&mut self.stream, block)?;
        if n == 0 {
            return Ok(None);
        }
        self.fill(&mut block[n..])?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        self.claim(BLOCK)?;
        // The sum is made as if its own field were blank.
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        // What is no number is not quoted: it may be anything, and long.
        if header.cksum().ok() != Some(sum - own + 8 * u32::from(b' ')) {
            return Err(wrong("it is no tar archive, or damaged: a header that is none, by its checksum"));
        }
        Ok(Some(header))
    }

    /// A long name, or records.
    fn before(&mut self, size: u64) -> Result<Vec<u8>> {
        self.claim(size)?;
        let mut bytes = vec![0; usize::try_from(size.next_multiple_of(BLOCK)).unwrap_or(usize::MAX)];
        self.fill(&mut bytes)?;
        bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// Of GNU's older form: in the header, and in blocks behind it.
    fn map(&mut self, header: &Header, size: u64) -> Result<Map> {
        let gnu = header.as_gnu().ok_or_else(|| wrong("a sparse file in a header of another form"))?;
        let mut map = Map { size: gnu.real_size().map_err(broken)?, pieces: vec![] };
        add(&mut map, &gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = GnuExtSparseHeader::new();
            self.claim(BLOCK)?;
            self.fill(block.as_mut_bytes())?;
            add(&mut map, &block.sparse)?;
            more = block.is_extended();
        }
        map.check()?;
        let end = map.pieces.last().map_or(0, |(offset, length)| offset + length);
        let sum = map.pieces.iter().map(|(_, length)| length).sum::<u64>();
        if end != map.size || sum != size {
            return Err(wrong("a sparse file that is not as long as its map says"));
        }
        Ok(map)
    }

    fn claim(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let why = format!("the headers of an entry are longer than {}", spec::unit::binary(HEADERS));
            Error::new(Kind::TooLarge, "", why)
        })?;
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.stream.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => wrong("a header that breaks off"),
            _ => broken(error),
        })
    }
}

/// A directory was a file whose name ends so, before there was a type for it.
fn kind(header: &Header, name: &[u8]) -> EntryType {
    let old = header.as_old().linkflag == [0];
    if old && name.ends_with(b"/") { EntryType::Directory } else { header.entry_type() }
}

/// These are all header, whatever size they give.
fn has_content(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// Each piece but the last fills its blocks.
fn add(map: &mut Map, places: &[GnuSparseHeader]) -> Result<()> {
    for place in places.iter().filter(|place| !place.is_empty()) {
        let piece = (place.offset().map_err(broken)?, place.length().map_err(broken)?);
        if piece.1 > 0 && map.pieces.last().is_some_and(|(_, length)| length % BLOCK != 0) {
            return Err(wrong("a sparse file with a piece of half a block"));
        }
        map.pieces.push(piece);
    }
    Ok(())
}

pub fn read(content: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match content.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(broken),
        }
    }
}

/// Of reading: our own errors and the kernel's as such, all else is the archive's fault.
pub fn broken(error: io::Error) -> Error {
    if let Some(errno) = Errno::from_io_error(&error) {
        return sys::Error::new("read(archive)", errno).into();
    }
    error.downcast::<Error>().unwrap_or_else(|error| Error::new(Kind::Corrupt, "", error.to_string()))
}

fn wrong(what: &str) -> Error {
    Error::new(Kind::Corrupt, "", what)
}
