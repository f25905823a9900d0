//! What a worker writes, read as it comes; and what it reads, written as it goes.

use super::{Access, Failure, Message, Task, engage};
use crate::copy::{Copied, CopyIn, CopyOut};
use crate::error::{Error, Result};
use crate::paths::Paths;
use image::copy::Source;
use runtime::worker::Worker;
use std::io::{self, BufRead, Read, Write};

/// The bytes between its messages.
pub(crate) struct Stream {
    worker: Worker,
    /// Until the next message.
    left: u64,
    end: Option<Result<serde_json::Value, Failure>>,
}

impl Stream {
    /// The next message, if it says what is coming.
    fn message(&mut self) -> io::Result<Option<Source>> {
        let mut line = String::new();
        self.worker.output.read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Message::Bytes(count)) => self.left = count,
            Ok(Message::Source(source)) => return Ok(Some(source)),
            Ok(Message::Progress(_)) => {}
            Ok(Message::Done(value)) => self.end = Some(Ok(value)),
            Ok(Message::Failed(failure)) => self.end = Some(Err(failure)),
            Err(_) => self.end = Some(Err(Failure::new("cannot copy", "the process that was to do it died"))),
        }
        Ok(None)
    }

    /// How it ended; what it would still have to say is not waited for.
    ///
    /// # Errors
    /// The worker's.
    pub fn finish(mut self) -> Result<()> {
        let end = self.end.take();
        self.worker.close_input();
        self.worker.wait()?;
        end.transpose().map(drop).map_err(Error::from)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            match &self.end {
                Some(Ok(_)) => return Ok(0),
                Some(Err(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
                None => drop(self.message()?),
            }
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.worker.output.read(&mut buffer[..most])?;
        if n == 0 {
            self.end = Some(Err(Failure::new("cannot copy", "the process that was to do it died")));
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// What comes, and what it is.
///
/// # Errors
/// There is nothing to come.
pub(crate) fn copy_out(paths: &Paths, task: CopyOut) -> Result<(Stream, Source)> {
    let (mut worker, order) = engage(paths, &Access::default(), Task::CopyOut(Box::new(task)))?;
    // One that is gone already says why by how it ended.
    let _ = worker.input.write_all(&order);
    worker.close_input();
    let mut stream = Stream { worker, left: 0, end: None };
    loop {
        if let Some(source) = stream.message().map_err(|error| Error::io("cannot copy", &error))? {
            return Ok((stream, source));
        }
        if stream.end.is_some() {
            stream.finish()?;
            return Err(Error::rejected("cannot copy", "the process that was to do it said nothing"));
        }
    }
}

/// # Errors
/// The worker's, and those of `write`.
pub(crate) fn copy_in(
    paths: &Paths,
    task: CopyIn,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<Copied> {
    let (mut worker, order) = engage(paths, &Access::default(), Task::CopyIn(Box::new(task)))?;
    let _ = worker.input.write_all(&order);
    let mut output = io::BufWriter::with_capacity(1 << 17, &mut worker.input);
    let written = write(&mut output).and_then(|()| output.flush().map_err(|error| Error::io("cannot copy", &error)));
    drop(output.into_parts());
    worker.close_input();
    let mut stream = Stream { worker, left: 0, end: None };
    while stream.end.is_none() {
        stream.message().map_err(|error| Error::io("cannot copy", &error))?;
    }
    let end = stream.end.take();
    stream.finish()?;
    // Who reads no more says why; else it is known here.
    let end = end.transpose()?;
    written?;
    end.and_then(|value| serde_json::from_value(value).ok())
        .ok_or_else(|| Error::rejected("cannot copy", "the process that was to do it said nothing"))
}
