//! A blob on its way to a registry: in one request, or where it is large in pieces (distribution-spec, "Pushing blobs").
//!
//! Invariant: a piece that the registry has taken is not sent again: after a break it is asked where the upload stands, and
//! only when it has forgotten all of it does that begin anew.

use crate::client::Repository;
use crate::error::{Error, Kind, Result};
use crate::host::{self, Body as Sent, Request};
use crate::push::Content;
use crate::retry::Backoff;
use spec::image::Descriptor;
use ureq::Body;
use ureq::http::{Method, Response, StatusCode};

/// What a break costs at most, beside what a round trip for each piece does.
const PIECE: u64 = 16 << 20;

/// Where an upload goes.
pub struct Start {
    place: String,
    /// What a piece has at least, but for the last one ("OCI-Chunk-Min-Length").
    least: u64,
}

/// Why an upload did not come to its end.
pub enum Halt {
    /// The registry wants the blob in one request.
    NoPieces,
    /// Nothing is left of it there.
    Forgotten(Error),
    Refused(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Repository {
    /// Where the upload goes; `None`: the blob was mounted.
    pub(crate) fn begin(&self, blob: &Descriptor, from: Option<&str>) -> Result<Option<Start>> {
        let mut path = format!("/v2/{}/blobs/uploads/", self.name);
        if let Some(from) = from {
            path = format!("{path}?mount={}&from={from}", blob.digest);
        }
        let mut response = self.host.send(&Request::new(Method::POST, &path, &self.push_scope(from)))?;
        match response.status() {
            StatusCode::CREATED => Ok(None),
            StatusCode::ACCEPTED => {
                let least = host::header(&response, "oci-chunk-min-length").and_then(|text| text.trim().parse().ok());
                Ok(Some(Start { place: location(&response, &path)?, least: least.unwrap_or(0) }))
            }
            _ => Err(host::refusal(&mut response, "the registry takes no uploads to this repository")),
        }
    }

    /// `whole`: in one request, whatever it weighs.
    pub(crate) fn upload(&self, blob: &Descriptor, open: &dyn Content, start: Start, whole: bool) -> Result<(), Halt> {
        let piece = PIECE.max(start.least);
        let (place, scope) = (start.place, self.push_scope(None));
        let mut upload = Upload { repository: self, blob, open, scope, place, at: 0, backoff: self.host.backoff() };
        if whole || blob.size <= piece {
            return upload.whole();
        }
        while upload.at < blob.size {
            upload.piece(piece)?;
        }
        upload.finish()
    }
}

struct Upload<'a> {
    repository: &'a Repository,
    blob: &'a Descriptor,
    open: &'a dyn Content,
    scope: String,
    /// The registry says anew with each answer where the next request goes.
    place: String,
    /// So many bytes are there.
    at: u64,
    backoff: Backoff,
}

const FORGOTTEN: &str = "the registry has forgotten the upload";
const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

impl Upload<'_> {
    fn whole(&mut self) -> Result<(), Halt> {
        let size = self.blob.size;
        let mut response = match self.close(Sent::Stream { open: self.open, from: 0, size }) {
            Err(error) if error.kind == Kind::Unreachable => return Err(Halt::Forgotten(error)),
            response => response?,
        };
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.repository.host.pause(&mut response, &mut self.backoff)?;
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Err(Halt::Forgotten(answers(&mut response)));
        }
        Ok(closed(response)?)
    }

    fn finish(&self) -> Result<(), Halt> {
        let response = self.close(Sent::None)?;
        // It was done before where the answer was lost on its way: who begins anew finds that out.
        if response.status() == StatusCode::NOT_FOUND {
            return Err(Halt::Forgotten(Error::new(Kind::Missing, FORGOTTEN)));
        }
        Ok(closed(response)?)
    }

    fn close(&self, content: Sent<'_>) -> Result<Response<Body>> {
        let mark = if self.place.contains('?') { '&' } else { '?' };
        let path = format!("{}{mark}digest={}", self.place, self.blob.digest);
        let request = Request { headers: &[OCTETS], content, ..Request::new(Method::PUT, &path, &self.scope) };
        self.repository.host.send(&request)
    }

    /// The next piece of that length; or, after a break, where it is to begin.
    fn piece(&mut self, length: u64) -> Result<(), Halt> {
        let (from, size) = (self.at, length.min(self.blob.size - self.at));
        let range = format!("{from}-{}", from + size - 1);
        let headers = [OCTETS, ("Content-Range", range.as_str())];
        let content = Sent::Stream { open: self.open, from, size };
        let request = Request { headers: &headers, content, ..Request::new(Method::PATCH, &self.place, &self.scope) };
        let mut response = match self.repository.host.send(&request) {
            Err(error) if error.kind == Kind::Unreachable => return self.ask(error),
            response => response?,
        };
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::CREATED | StatusCode::NO_CONTENT => {
                self.place = location(&response, &self.place)?;
                let stands = host::header(&response, "range").and_then(end).unwrap_or(from + size);
                self.stands_at(stands)
            }
            StatusCode::TOO_MANY_REQUESTS => {
                self.repository.host.pause(&mut response, &mut self.backoff)?;
                self.find(Error::new(Kind::Limited, "the registry limits how often one may ask"))
            }
            StatusCode::NOT_FOUND => Err(Halt::Forgotten(Error::new(Kind::Missing, FORGOTTEN))),
            status if status == StatusCode::RANGE_NOT_SATISFIABLE || status.is_server_error() => {
                self.ask(answers(&mut response))
            }
            _ if from == 0 => Err(Halt::NoPieces),
            _ => Err(Halt::Refused(host::refusal(&mut response, ""))),
        }
    }

    fn ask(&mut self, why: Error) -> Result<(), Halt> {
        if self.backoff.wait() { self.find(why) } else { Err(Halt::Refused(why)) }
    }

    /// "Resuming" of the specification: where does it stand?
    fn find(&mut self, why: Error) -> Result<(), Halt> {
        let request = Request::new(Method::GET, &self.place, &self.scope);
        let response = self.repository.host.send(&request)?;
        let stands = host::header(&response, "range").and_then(end);
        match stands.filter(|_| response.status().is_success()) {
            None => Err(Halt::Forgotten(why)),
            Some(stands) => {
                // Not all of them say it here.
                self.place = location(&response, &self.place).unwrap_or_else(|_| self.place.clone());
                self.stands_at(stands)
            }
        }
    }

    fn stands_at(&mut self, stands: u64) -> Result<(), Halt> {
        if stands > self.blob.size {
            let why = format!("the registry says that it has {stands} bytes of {}", self.blob.size);
            return Err(Error::new(Kind::Corrupt, why).into());
        }
        if stands > self.at {
            self.backoff.reset();
        } else if !self.backoff.wait() {
            return Err(Error::new(Kind::Refused, "the registry takes no byte more of the upload").into());
        }
        self.at = stands;
        Ok(())
    }
}

fn closed(mut response: Response<Body>) -> Result<()> {
    match response.status() {
        StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
        _ => Err(host::refusal(&mut response, FORGOTTEN)),
    }
}

fn answers(response: &mut Response<Body>) -> Error {
    Error::new(Kind::Refused, format!("the registry answers {}{}", response.status(), host::words(response)))
}

/// How many bytes `0-999` are. An upload without any is `0-0`, too: no piece is as short as a byte.
fn end(range: &str) -> Option<u64> {
    let last: u64 = range.trim().trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}

/// Where the upload goes on: an address, or a path of the host.
fn location(response: &Response<Body>, asked: &str) -> Result<String> {
    let place = host::header(response, "location").unwrap_or_default();
    let absolute = place.starts_with("http://") || place.starts_with("https://");
    if absolute || (place.starts_with('/') && !place.starts_with("//")) {
        return Ok(place.to_owned());
    }
    Err(Error::new(
        Kind::Corrupt,
        format!("the registry does not say where the upload goes on ({place:?} after {asked})"),
    ))
}

#[cfg(test)]
mod tests {
    use super::end;

    #[test]
    fn reads_how_much_is_there() {
        assert_eq!(
            ["0-0", "0-999", "bytes=0-1", "5-9", "", "0-x"].map(end),
            [Some(0), Some(1000), Some(2), None, None, None]
        );
        assert_eq!(end(&format!("0-{}", u64::MAX)), None);
    }
}
