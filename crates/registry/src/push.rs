//! Blobs and manifests to a registry (distribution-spec, "Push").

use crate::client::Repository;
use crate::error::{Error, Kind, Result};
use crate::host::{self, Body as Sent, Request};
use crate::retry::Backoff;
use spec::Digest;
use spec::image::Descriptor;
use std::io::Read;
use ureq::Body;
use ureq::http::{Method, Response, StatusCode};

/// What can be sent more than once.
pub trait Content {
    /// From its beginning.
    ///
    /// # Errors
    /// It cannot be had.
    fn open(&self) -> Result<Box<dyn Read + '_>>;
}

/// What came of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The repository has it already.
    There,
    /// From another repository of the same registry, without being sent.
    Mounted,
    Sent,
}

impl Repository {
    fn push_scope(&self, from: Option<&str>) -> String {
        let own = format!("repository:{}:pull,push", self.name);
        from.map_or(own.clone(), |from| format!("{own} repository:{from}:pull"))
    }

    /// Puts a blob there. `from`: another repository of the host that has it. `open` gives its content, again for each try.
    ///
    /// # Errors
    /// The registry refuses it, or what arrived has another digest.
    pub fn push_blob(&self, blob: &Descriptor, from: Option<&str>, open: &dyn Content) -> Result<Pushed> {
        let what = || format!("cannot push {} to {}", blob.digest, self.full_name());
        self.try_push_blob(blob, from, open).map_err(|error| error.at(what()))
    }

    /// An upload that breaks begins again with a session of its own: the first one's has half of it.
    fn try_push_blob(&self, blob: &Descriptor, from: Option<&str>, open: &dyn Content) -> Result<Pushed> {
        let mut backoff = Backoff::default();
        loop {
            if self.has_blob(&blob.digest)? {
                return Ok(Pushed::There);
            }
            let Some(place) = self.begin(blob, from.filter(|from| *from != self.name))? else {
                return Ok(Pushed::Mounted);
            };
            match self.upload(blob, &place, open) {
                Err(error) if error.kind == Kind::Unreachable && backoff.wait() => {}
                sent => return sent.map(|()| Pushed::Sent),
            }
        }
    }

    /// Where the upload goes; `None`: it was mounted.
    fn begin(&self, blob: &Descriptor, from: Option<&str>) -> Result<Option<String>> {
        let mut path = format!("/v2/{}/blobs/uploads/", self.name);
        if let Some(from) = from {
            path = format!("{path}?mount={}&from={from}", blob.digest);
        }
        let mut response = self.host.send(&Request::new(Method::POST, &path, &self.push_scope(from)))?;
        match response.status() {
            StatusCode::CREATED => Ok(None),
            StatusCode::ACCEPTED => location(&response, &path).map(Some),
            _ => Err(host::refusal(&mut response, "the registry takes no uploads to this repository")),
        }
    }

    /// In one piece.
    fn upload(&self, blob: &Descriptor, place: &str, open: &dyn Content) -> Result<()> {
        let mark = if place.contains('?') { '&' } else { '?' };
        let path = format!("{place}{mark}digest={}", blob.digest);
        let scope = self.push_scope(None);
        let headers = [("Content-Type", "application/octet-stream")];
        let content = Sent::Stream { open, size: blob.size };
        let request = Request { method: Method::PUT, path: &path, headers: &headers, scope: &scope, content };
        let mut response = self.host.send(&request)?;
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            status if status.is_server_error() => Err(Error::new(
                Kind::Unreachable,
                format!("the registry answers {status}{}", host::words(&mut response)),
            )),
            _ => Err(host::refusal(&mut response, "the registry has forgotten the upload")),
        }
    }

    /// # Errors
    /// The registry does not answer, or refuses.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let path = format!("/v2/{}/blobs/{digest}", self.name);
        let mut response = self.host.send(&Request::new(Method::HEAD, &path, &self.push_scope(None)))?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(host::refusal(&mut response, "")),
        }
    }

    /// Names a manifest whose blobs are there; `which` is a tag or its digest. The digest that the registry gives it.
    ///
    /// # Errors
    /// The registry refuses it.
    pub fn push_manifest(&self, which: &str, kind: &str, bytes: &[u8]) -> Result<Digest> {
        let what =
            || format!("cannot push the manifest of {}{}{which}", self.full_name(), crate::manifest::separator(which));
        let push = || {
            let path = format!("/v2/{}/manifests/{which}", self.name);
            let (scope, headers) = (self.push_scope(None), [("Content-Type", kind)]);
            let content = Sent::Bytes(bytes);
            let mut response = self.host.send(&Request {
                method: Method::PUT,
                path: &path,
                headers: &headers,
                scope: &scope,
                content,
            })?;
            if response.status() != StatusCode::CREATED {
                return Err(host::refusal(&mut response, "the registry has no such repository"));
            }
            let given = host::header(&response, "docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
            let own = Digest::of(bytes);
            match given.filter(|given| *given != own) {
                None => Ok(own),
                Some(given) => {
                    Err(Error::new(Kind::Corrupt, format!("the registry has stored {given}, and {own} was sent")))
                }
            }
        };
        push().map_err(|error: Error| error.at(what()))
    }
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
