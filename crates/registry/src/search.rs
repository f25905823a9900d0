//! What a host has by some name: asked as the Hub is asked, or found in the list of all repositories.

use crate::client::Client;
use crate::error::{Error, Kind, Result};
use crate::host::{self, Host, Request, encoded};
use serde::{Deserialize, Serialize};
use ureq::http::{Method, StatusCode};

/// A repository; what is not said is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    pub name: String,
    pub description: String,
    #[serde(rename = "star_count")]
    pub stars: u64,
    #[serde(rename = "is_official")]
    pub official: bool,
    #[serde(rename = "is_automated")]
    pub automated: bool,
}

/// The Hub's answers, and those of registries that are searched as it is.
#[derive(Deserialize)]
struct Answer {
    results: Vec<Found>,
}

impl Client {
    /// At most `limit` repositories of a host for these words, the best first as far as it says so.
    ///
    /// # Errors
    /// It does not answer, or tells nothing of what it has.
    pub fn search(&self, host: &str, words: &str, limit: usize) -> Result<Vec<Found>> {
        let what = || format!("cannot search {host}");
        let search = || {
            // The Hub's registry is not where it is searched.
            let name = if host == "docker.io" { "index.docker.io" } else { host };
            let place = self.host(name, self.files().find(host, "")?)?;
            let mut found = match asked(&place, words, limit)? {
                Some(found) => found,
                None => listed(self.catalog(host)?, words),
            };
            found.sort_by_key(|found| std::cmp::Reverse(found.stars));
            found.truncate(limit);
            Ok(found)
        };
        search().map_err(|error: Error| error.at(what()))
    }
}

/// `None`: it is not searched so.
fn asked(host: &Host, words: &str, limit: usize) -> Result<Option<Vec<Found>>> {
    let path = format!("/v1/search?q={}&n={limit}", encoded(words));
    let mut response = match host.send(&Request::new(Method::GET, &path, "")) {
        // A registry that has not heard of it may say anything.
        Err(error) if matches!(error.kind, Kind::Unauthorized | Kind::Refused) => return Ok(None),
        response => response?,
    };
    if response.status() != StatusCode::OK {
        return Ok(None);
    }
    let body = response.body_mut().with_config().limit(4 << 20).read_to_vec();
    let body = body.map_err(|error| host::explain(error, &host.name))?;
    Ok(serde_json::from_slice::<Answer>(&body).ok().map(|answer| answer.results))
}

fn listed(names: Vec<String>, words: &str) -> Vec<Found> {
    let names = names.into_iter().filter(|name| name.contains(words));
    names.map(|name| Found { name, ..Found::default() }).collect()
}
