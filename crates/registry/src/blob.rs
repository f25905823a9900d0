//! A blob as a stream that outlives its connection (distribution-spec, "Pulling blobs").
//!
//! Invariant: each byte is asked for once: after a break the rest is asked for by range. No byte beyond the size that the
//! descriptor has is given out. Who reads verifies the digest.

use crate::client::Repository;
use crate::error::{Error, Kind, Result};
use crate::host::{self, Request};
use crate::retry::Backoff;
use spec::image::Descriptor;
use std::io::{self, Read};
use ureq::BodyReader;
use ureq::http::{Method, StatusCode};

pub struct Blob<'a> {
    repository: &'a Repository,
    descriptor: Descriptor,
    offset: u64,
    body: Option<BodyReader<'static>>,
    backoff: Backoff,
}

impl Repository {
    /// From `offset` on. Nothing is asked for until it is read.
    #[must_use]
    pub fn blob(&self, descriptor: &Descriptor, offset: u64) -> Blob<'_> {
        Blob { repository: self, descriptor: descriptor.clone(), offset, body: None, backoff: self.host.backoff() }
    }
}

impl Blob<'_> {
    fn open(&self) -> Result<BodyReader<'static>> {
        let (host, size) = (&self.repository.host, self.descriptor.size);
        let path = format!("/v2/{}/blobs/{}", self.repository.name, self.descriptor.digest);
        let scope = self.repository.pull_scope();
        let range = format!("bytes={}-", self.offset);
        let headers = [("Range", range.as_str())];
        let headers = if self.offset == 0 { &[][..] } else { &headers[..] };
        let mut response =
            host.send(&Request { headers, endless: true, ..Request::new(Method::GET, &path, &scope) })?;
        let starts = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => {
                host::header(&response, "content-range").and_then(start).unwrap_or(self.offset)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let why = format!("the registry has {} bytes of it at most, and the manifest says {size}", self.offset);
                return Err(Error::new(Kind::Corrupt, why));
            }
            _ => return Err(host::refusal(&mut response, "the registry does not have this part of the image")),
        };
        let mut body = response.into_body().into_reader();
        // A registry that knows no ranges begins again: what is here already is passed over.
        let over = self.offset.checked_sub(starts);
        let over =
            over.ok_or_else(|| Error::new(Kind::Corrupt, "the registry sends another range than it was asked for"))?;
        let skipped = io::copy(&mut body.by_ref().take(over), &mut io::sink());
        match skipped {
            Ok(skipped) if skipped == over => Ok(body),
            Ok(_) => Err(Error::new(Kind::Unreachable, "the connection broke off")),
            Err(error) => Err(host::explain(ureq::Error::from(error), &host.name)),
        }
    }

    /// Why the stream is at its end too early. Waits before the next try.
    fn broken(&mut self, why: String) -> io::Result<()> {
        self.body = None;
        if self.backoff.wait() {
            return Ok(());
        }
        let (at, size) = (self.offset, self.descriptor.size);
        let why = format!("{why}: {at} of {size} bytes are here");
        Err(io::Error::other(Error::new(Kind::Unreachable, why).hint("the same command goes on where it was")))
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.descriptor.size - self.offset.min(self.descriptor.size);
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(0);
        }
        loop {
            let body = match &mut self.body {
                Some(body) => body,
                // `send` has tried several times by itself.
                None => self.body.insert(self.open().map_err(io::Error::other)?),
            };
            match body.read(&mut buffer[..length]) {
                Ok(0) => self.broken("the registry ends it too early".to_owned())?,
                Ok(n) => {
                    self.offset += n as u64;
                    self.backoff.reset();
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let why = host::explain(ureq::Error::from(error), &self.repository.host.name).why;
                    self.broken(why)?;
                }
            }
        }
    }
}

impl Error {
    /// That which a [`Blob`]'s read ended with.
    #[must_use]
    pub fn of_read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::new(Kind::Unreachable, error.to_string()),
        }
    }
}

/// `bytes 5-9/10`.
fn start(range: &str) -> Option<u64> {
    range.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::start;

    #[test]
    fn reads_where_a_range_starts() {
        assert_eq!(start("bytes 5-9/10"), Some(5));
        assert_eq!(start("bytes */10"), None);
        assert_eq!(start("5-9"), None);
    }
}
