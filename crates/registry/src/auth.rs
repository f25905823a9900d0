//! What a registry asks for (RFC 9110, 11; distribution's token specification) and the tokens that it gave.
//!
//! Invariant: a password goes to the registry's own host or, over TLS or where the user gave that up, to the token
//! server that it names; never into an address.

use crate::credentials::Credentials;
use crate::error::{Error, Kind, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_auth::parser::ChallengeParser;
use serde::Deserialize;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use ureq::Agent;

/// How to prove who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The strongest of the `WWW-Authenticate` headers that is known here.
    pub fn of<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let all: Vec<_> = headers.flat_map(|header| ChallengeParser::new(header).map_while(Result::ok)).collect();
        let named = |scheme: &str| all.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme));
        if let Some(bearer) = named("bearer") {
            let value = |name: &str| {
                let found = bearer.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if let Some(realm) = value("realm") {
                return Some(Self::Bearer { realm, service: value("service"), scope: value("scope") });
            }
        }
        named("basic").map(|_| Self::Basic)
    }
}

#[derive(Debug)]
struct Token {
    value: String,
    until: Instant,
}

/// Of one host: its challenge, the user's credentials, the tokens by scope.
#[derive(Debug)]
pub struct Session {
    host: String,
    pub challenge: Option<Challenge>,
    pub credentials: Option<Credentials>,
    /// The user wants no TLS: then a token server need not have it.
    pub insecure: bool,
    tokens: HashMap<String, Token>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Session {
    pub fn new(host: &str, credentials: Option<Credentials>) -> Self {
        Self { host: host.to_owned(), challenge: None, credentials, insecure: false, tokens: HashMap::new() }
    }

    /// The `Authorization` header for requests of this scope; `None`: none is asked for.
    pub fn header(&mut self, agent: &Agent, scope: &str) -> Result<Option<String>> {
        match &self.challenge {
            None => Ok(None),
            Some(Challenge::Basic) => self.basic(),
            Some(Challenge::Bearer { .. }) => self.bearer(agent, scope).map(Some),
        }
    }

    /// The token of this scope is no good any more.
    pub fn forget(&mut self, scope: &str) {
        self.tokens.remove(scope);
    }

    fn basic(&self) -> Result<Option<String>> {
        match &self.credentials {
            None => Ok(None),
            Some(Credentials::Password { user, password }) => Ok(Some(basic(user, password))),
            Some(Credentials::Token(_)) => {
                Err(Error::new(Kind::Configuration, "a token is kept for this registry, and it wants a password"))
            }
        }
    }

    fn bearer(&mut self, agent: &Agent, scope: &str) -> Result<String> {
        if let Some(token) = self.tokens.get(scope).filter(|token| Instant::now() < token.until) {
            return Ok(format!("Bearer {}", token.value));
        }
        let token = self.fetch(agent, scope)?;
        let header = format!("Bearer {}", token.value);
        self.tokens.insert(scope.to_owned(), token);
        Ok(header)
    }

    fn fetch(&self, agent: &Agent, scope: &str) -> Result<Token> {
        let Some(Challenge::Bearer { realm, service, .. }) = &self.challenge else {
            return Err(Error::new(Kind::Refused, "no token server is named"));
        };
        let what = || format!("cannot get a token from {realm}");
        let safe = realm.starts_with("https://") || self.insecure;
        if !(safe && (realm.starts_with("http://") || realm.starts_with("https://"))) {
            return Err(Error::new(Kind::Untrusted, "the registry names a token server without TLS").at(what()));
        }
        let service = service.iter().map(|service| ("service", service.as_str()));
        let scopes = scope.split(' ').filter(|scope| !scope.is_empty());
        let response = match &self.credentials {
            Some(Credentials::Token(token)) => {
                let fixed = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "sampan")];
                let form = fixed.into_iter().chain(service).chain([("scope", scope)]);
                agent.post(realm).send_form(form)
            }
            other => {
                let mut request = agent.get(realm);
                for (name, value) in service.chain(scopes.map(|scope| ("scope", scope))) {
                    request = request.query(name, value);
                }
                if let Some(Credentials::Password { user, password }) = other {
                    request = request.query("account", user).header("Authorization", basic(user, password));
                }
                request.call()
            }
        };
        let mut response = response.map_err(|error| crate::host::explain(error, realm).at(what()))?;
        if !response.status().is_success() {
            return Err(self.refused(&mut response).at(what()));
        }
        let text = response.body_mut().with_config().limit(1 << 20).read_to_vec();
        let text = text.map_err(|error| crate::host::explain(error, realm).at(what()))?;
        token(&text).map_err(|error| error.at(what()))
    }

    fn refused(&self, response: &mut ureq::http::Response<ureq::Body>) -> Error {
        let status = response.status();
        let words = crate::host::words(response);
        if status.as_u16() == 401 || status.as_u16() == 403 {
            return unauthorized(self.credentials.as_ref(), &self.host, &words);
        }
        Error::new(Kind::Refused, format!("it answers {status}{words}"))
    }
}

/// The registry's or its token server's no.
pub fn unauthorized(known: Option<&Credentials>, host: &str, words: &str) -> Error {
    if let Some(credentials) = known {
        let who = match credentials {
            Credentials::Password { user, .. } => format!("the user {user} or the password"),
            Credentials::Token(_) => "the token".to_owned(),
        };
        return Error::new(Kind::Unauthorized, format!("unauthorized: {who} is wrong, or may not do this{words}"))
            .hint(format!("sampan login {host} to give others"));
    }
    Error::new(
        Kind::Unauthorized,
        format!("unauthorized: it wants to know who asks, and no login is kept for it{words}"),
    )
    .hint(format!("sampan login {host}, or --creds USER:PASSWORD"))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn token(text: &[u8]) -> Result<Token> {
    let bad = |why: String| Error::new(Kind::Corrupt, why);
    let answer: Answer =
        serde_json::from_slice(text).map_err(|error| bad(format!("its answer is no token: {error}")))?;
    let value = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let value = value.ok_or_else(|| bad("its answer has no token".to_owned()))?;
    // A header's value: visible ASCII (RFC 6750, 2.1), or the line would end early.
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("its token has characters that no token has".to_owned()));
    }
    // Sixty seconds where it does not say; renewed before the other side's clock says that it is over.
    let lives = Duration::from_secs(answer.expires_in.unwrap_or(60).clamp(20, 24 * 3600));
    Ok(Token { value, until: Instant::now() + lives - Duration::from_secs(10) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_challenges() {
        let bearer = r#"Bearer realm="https://a.example/token",service="reg, x",scope="repository:a:pull,push""#;
        let Some(Challenge::Bearer { realm, service, scope }) = Challenge::of([bearer].into_iter()) else { panic!() };
        assert_eq!((realm.as_str(), service.as_deref()), ("https://a.example/token", Some("reg, x")));
        assert_eq!(scope.as_deref(), Some("repository:a:pull,push"));
        let both = ["Basic realm=\"x\"", "Bearer realm=\"https://b\""];
        assert!(matches!(Challenge::of(both.into_iter()), Some(Challenge::Bearer { .. })));
        assert_eq!(Challenge::of(["basic realm=x"].into_iter()), Some(Challenge::Basic));
        assert_eq!(Challenge::of(["Negotiate", "", "\"", "Bearer"].into_iter()), None);
    }

    #[test]
    fn reads_tokens() {
        assert_eq!(token(br#"{"access_token":"abc"}"#).unwrap().value, "abc");
        for bad in ["", "{}", r#"{"token":""}"#, r#"{"token":"a\r\nX: y"}"#] {
            assert!(token(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
