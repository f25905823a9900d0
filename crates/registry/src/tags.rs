//! What a repository and a registry have; and whether one is known there.

use crate::client::{Client, Repository};
use crate::credentials::Credentials;
use crate::error::{Error, Kind, Result};
use crate::host::{self, Host, Request};
use serde::Deserialize;
use ureq::http::{Method, StatusCode};

/// Pages of lists that are followed: 100 000 names at 100 a page.
const PAGES: usize = 1000;

impl Repository {
    /// All tags, in the registry's order (distribution-spec, "Listing Tags").
    ///
    /// # Errors
    /// There is no such repository; the registry does not answer or refuses.
    pub fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let first = format!("/v2/{}/tags/list", self.name);
        let pages = pages(&self.host, first, &self.pull_scope(), "the registry has no such repository");
        let pages = pages.map_err(|error| error.at(format!("cannot list the tags of {}", self.full_name())))?;
        let page = |bytes: &Vec<u8>| serde_json::from_slice::<Page>(bytes).map(|page| page.tags.unwrap_or_default());
        let tags = pages.iter().map(page).collect::<Result<Vec<_>, _>>();
        tags.map(|tags| tags.concat()).map_err(|error| Error::new(Kind::Corrupt, format!("the list of tags: {error}")))
    }
}

impl Client {
    /// The repositories of a host, if it tells (docker's `_catalog`, which most public registries keep to themselves).
    ///
    /// # Errors
    /// As [`Repository::tags`].
    pub fn catalog(&self, host: &str) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Option<Vec<String>>,
        }
        let what = || format!("cannot list the repositories of {host}");
        let credentials = self.credentials(host).map_err(|error| error.at(what()))?;
        let list = || {
            let host = self.host(host, credentials)?;
            pages(&host, "/v2/_catalog".into(), "registry:catalog:*", "the registry keeps its catalogue to itself")
        };
        let pages = list().map_err(|error| error.at(what()))?;
        let page =
            |bytes: &Vec<u8>| serde_json::from_slice::<Page>(bytes).map(|page| page.repositories.unwrap_or_default());
        let names = pages.iter().map(page).collect::<Result<Vec<_>, _>>();
        names.map(|names| names.concat()).map_err(|error| Error::new(Kind::Corrupt, error.to_string()).at(what()))
    }

    fn credentials(&self, host: &str) -> Result<Option<Credentials>> {
        self.files().find(host, "")
    }

    /// Whether the host knows the user by that password.
    ///
    /// # Errors
    /// It does not ([`Kind::Unauthorized`]), or it does not answer.
    pub fn check_login(&self, host: &str, credentials: Credentials) -> Result<()> {
        let what = || format!("cannot log in to {host}");
        let check = || {
            let host = self.host(host, Some(credentials))?;
            let mut response = host.send(&Request::new(Method::GET, "/v2/", ""))?;
            match response.status() {
                StatusCode::OK => Ok(()),
                _ => Err(host::refusal(&mut response, "it is no registry")),
            }
        };
        check().map_err(|error: Error| match error.kind {
            // A hint to log in helps nobody here.
            Kind::Unauthorized => Error { hint: None, ..error }.at(what()),
            _ => error.at(what()),
        })
    }

    /// The login that is kept for the host, if it still holds.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kept_login(&self, host: &str) -> Result<Option<Credentials>> {
        self.credentials(host)
    }
}

/// The bodies of a list and of the pages after it (RFC 8288's `Link`).
pub(crate) fn pages(host: &Host, first: String, scope: &str, missing: &str) -> Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    let mut next = Some(first);
    while let Some(path) = next.take().filter(|_| bodies.len() < PAGES) {
        let mut response = host.send(&Request::new(Method::GET, &path, scope))?;
        if response.status() != StatusCode::OK {
            return Err(host::refusal(&mut response, missing));
        }
        next = host::header(&response, "link").and_then(|link| follow(link, &path));
        let body = response.body_mut().with_config().limit(4 << 20).read_to_vec();
        bodies.push(body.map_err(|error| host::explain(error, &host.name))?);
    }
    Ok(bodies)
}

/// `</v2/x/tags/list?last=b&n=2>; rel="next"`. Only on the same host.
fn follow(link: &str, current: &str) -> Option<String> {
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = rest.contains("next") && target.starts_with('/') && !target.starts_with("//") && target != current;
    next.then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::follow;

    #[test]
    fn follows_only_its_own_pages() {
        assert_eq!(follow("</v2/x?n=2>; rel=\"next\"", "/v2/x").as_deref(), Some("/v2/x?n=2"));
        for link in
            ["</v2/x>; rel=\"next\"", "<//h/x>; rel=\"next\"", "<http://h/x>; rel=next", "</y>; rel=\"prev\"", ""]
        {
            assert_eq!(follow(link, "/v2/x"), None, "{link}");
        }
    }
}
