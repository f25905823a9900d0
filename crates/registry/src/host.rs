//! One registry's host: how it is reached, and requests to it that authenticate, wait and try again.
//!
//! Invariant: what is tried again is harmless twice. A streamed body is not: half of it may have arrived.

use crate::auth::{Challenge, Session, unauthorized};
use crate::error::{Error, Kind, Result};
use crate::proxy::Proxies;
use crate::push::Content;
use crate::resolve::{Names, Unanswered};
use crate::retry::{self, Backoff, PATIENCE, Retry};
use crate::tls::Tls;
use rustls::ClientConfig;
use serde::Deserialize;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ureq::http::{Method, Response, StatusCode};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, Proxy, SendBody};

#[derive(Debug)]
pub struct Host {
    /// As in a reference.
    pub name: String,
    /// `https://host:port`.
    base: String,
    agent: Agent,
    session: Mutex<Session>,
    /// Said with each request to it.
    extra: Vec<(String, String)>,
    /// Between here and there, for messages.
    proxy: Option<String>,
    patience: Duration,
    retry: Retry,
}

/// What lies between here and a host.
pub struct Way<'a> {
    pub tls: ClientConfig,
    pub proxies: &'a Proxies,
    /// How long a silent peer is waited for.
    pub patience: Duration,
    pub retry: Retry,
    /// Headers of the user's.
    pub extra: Vec<(String, String)>,
}

/// What a request carries; a stream is opened again where the registry wanted to know first who sends it.
pub enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    Stream { open: &'a dyn Content, from: u64, size: u64 },
}

pub struct Request<'a> {
    pub method: Method,
    /// Below the host, or a whole address that the host has given.
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    /// `repository:name:pull`, several with spaces between them.
    pub scope: &'a str,
    pub content: Body<'a>,
    /// The answer may take as long as it takes, as long as something comes.
    pub endless: bool,
}

impl<'a> Request<'a> {
    pub fn new(method: Method, path: &'a str, scope: &'a str) -> Self {
        Self { method, path, headers: &[], scope, content: Body::None, endless: false }
    }
}

/// Which of a host's two voices may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// Certificates are looked at.
    pub verify: bool,
    /// Plain HTTP will do where there is no TLS.
    pub plain: bool,
}

impl Host {
    /// Finds out how the host speaks and what it asks for (distribution-spec, "Determining Support").
    ///
    /// # Errors
    /// Nobody answers, or it is no registry, or it cannot be believed.
    pub fn connect(name: &str, trust: Trust, way: Way<'_>, session: Session) -> Result<Self> {
        let address = if name == "docker.io" { "registry-1.docker.io" } else { name };
        let tls = Arc::new(way.tls);
        let try_base = |base: String| -> Result<_> {
            let by = way.proxies.way(&base)?;
            let (proxy, by) = by.map_or((None, None), |by| (Some(by.proxy), Some(by.name)));
            let agent = agent(tls.clone(), proxy, way.patience);
            let challenge = ping(&agent, &base).map_err(|error| through(error, by.as_deref()))?;
            Ok((base, agent, by, challenge))
        };
        let try_both = || match try_base(format!("https://{address}")) {
            Err(error) if trust.plain && error.kind == Kind::Unreachable => try_base(format!("http://{address}")),
            found => found,
        };
        let mut backoff = way.retry.backoff();
        // Who has not said so wants to hear at once that he has written the wrong name.
        let again = |error: &Error| way.retry.times.is_some() && error.kind == Kind::Unreachable;
        let found = loop {
            match try_both() {
                Err(error) if again(&error) && backoff.wait() => {}
                found => break found?,
            }
        };
        let (base, agent, proxy, challenge) = found;
        let mut session = session;
        session.challenge = challenge;
        session.insecure = !trust.verify || base.starts_with("http:");
        let session = Mutex::new(session);
        let (patience, retry) = (way.patience, way.retry);
        Ok(Self { name: name.to_owned(), base, agent, session, extra: way.extra, proxy, patience, retry })
    }

    pub fn backoff(&self) -> Backoff {
        self.retry.backoff()
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        // Nothing in it is half done when a thread ends in between.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A whole address for a path of this host; an address stays.
    pub fn address(&self, path: &str) -> String {
        if path.starts_with("http://") || path.starts_with("https://") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        }
    }

    /// The answer, whatever its status is, unless that says that one may not or not now.
    ///
    /// # Errors
    /// Nobody answers after several tries; unauthorized; the registry wants us to wait longer than anybody would.
    pub fn send(&self, request: &Request<'_>) -> Result<Response<ureq::Body>> {
        let mut backoff = self.backoff();
        let mut introduced = false;
        let again = !matches!(request.content, Body::Stream { .. });
        loop {
            let mut response = match self.send_once(request) {
                Err(error) if error.kind == Kind::Unreachable && again && backoff.wait() => continue,
                response => response?,
            };
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED {
                let challenge = challenge(&response);
                let mut session = self.session();
                session.forget(request.scope);
                if introduced || challenge.is_none() {
                    let words = words(&mut response);
                    return Err(unauthorized(session.credentials.as_ref(), &self.name, &words));
                }
                session.challenge = challenge;
                introduced = true;
            } else if status == StatusCode::FORBIDDEN {
                let words = words(&mut response);
                return Err(Error::new(Kind::Unauthorized, format!("the registry does not allow it{words}")));
            } else if again && (status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()) {
                self.pause(&mut response, &mut backoff)?;
            } else {
                return Ok(response);
            }
        }
    }

    /// Waits as the registry asks, or as seems right.
    ///
    /// # Errors
    /// It asks for more than anybody would wait, or it is time to give up.
    pub fn pause(&self, response: &mut Response<ureq::Body>, backoff: &mut Backoff) -> Result<()> {
        let status = response.status();
        let asked = header(response, "retry-after").and_then(retry::after);
        let limited = status == StatusCode::TOO_MANY_REQUESTS;
        if let Some(wait) = asked.filter(|wait| *wait > PATIENCE) {
            let why = format!("it asks to try again in {}{}", spoken(wait), words(response));
            return Err(limit(limited, &why));
        }
        // What it asks for comes on top: one that always says "0" must not keep us here.
        std::thread::sleep(asked.unwrap_or_default());
        if backoff.wait() { Ok(()) } else { Err(limit(limited, &format!("it answers {status}{}", words(response)))) }
    }

    fn send_once(&self, request: &Request<'_>) -> Result<Response<ureq::Body>> {
        let address = self.address(request.path);
        let mut builder = ureq::http::Request::builder().method(request.method.clone()).uri(&address);
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        // To another host than the one that knows us goes nothing that it could use.
        let own = address.strip_prefix(&self.base).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        if own {
            for (name, value) in &self.extra {
                builder = builder.header(name, value);
            }
            if let Some(value) = self.session().header(&self.agent, request.scope)? {
                builder = builder.header("Authorization", value);
            }
        }
        let bad = |error: ureq::http::Error| Error::new(Kind::Corrupt, format!("{address}: {error}"));
        let writes = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
        let sent = match &request.content {
            Body::None if writes => self.run(builder.body(&[][..]).map_err(bad)?, request),
            Body::None => self.run(builder.body(()).map_err(bad)?, request),
            Body::Bytes(bytes) => self.run(builder.body(*bytes).map_err(bad)?, request),
            Body::Stream { open, from, size } => {
                let mut reader = open.open(*from)?.take(*size);
                let builder = builder.header("Content-Length", size.to_string());
                self.run(builder.body(SendBody::from_reader(&mut reader)).map_err(bad)?, request)
            }
        };
        sent.map_err(|error| through(explain(error, &self.base), self.proxy.as_deref()))
    }

    /// A document that comes by the byte is given up; what may be large only has to go on coming.
    fn run<T: ureq::AsSendBody>(
        &self,
        made: ureq::http::Request<T>,
        request: &Request<'_>,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let whole = (!request.endless).then(|| self.patience * 4);
        self.agent.run(self.agent.configure_request(made).timeout_recv_body(whole).build())
    }
}

fn agent(tls: Arc<ClientConfig>, proxy: Option<Proxy>, patience: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("sampan/", env!("CARGO_PKG_VERSION")))
        .proxy(proxy)
        .timeout_connect(Some(patience.min(Duration::from_secs(15))))
        .timeout_per_read(Some(patience))
        .timeout_per_write(Some(patience))
        // The last piece of a large blob may take a registry long.
        .timeout_recv_response(Some(patience * 4))
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
        .input_buffer_size(256 * 1024)
        .max_idle_connections_per_host(8)
        .build();
    let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
    Agent::with_parts(config, connector.chain(Tls(tls)), Names)
}

/// Says that a proxy stands between.
fn through(error: Error, proxy: Option<&str>) -> Error {
    match proxy.filter(|_| error.kind == Kind::Unreachable) {
        None => error,
        Some(proxy) => Error { why: format!("{}, by the proxy {proxy}", error.why), ..error }
            .hint("HTTPS_PROXY, HTTP_PROXY and NO_PROXY say which registries have a proxy before them"),
    }
}

/// What it asks for, if it is a registry.
fn ping(agent: &Agent, base: &str) -> Result<Option<Challenge>> {
    let address = format!("{base}/v2/");
    let mut response = agent.get(&address).call().map_err(|error| explain(error, base))?;
    match response.status().as_u16() {
        401 | 403 => Ok(challenge(&response)),
        200..=299 | 429 | 500..=599 => Ok(None),
        status => {
            Err(Error::new(Kind::Refused, format!("no registry: {address} answers {status}{}", words(&mut response)))
                .hint("the name before the first slash is the registry's host; is it the right one?"))
        }
    }
}

fn challenge(response: &Response<ureq::Body>) -> Option<Challenge> {
    let headers = response.headers().get_all("www-authenticate");
    Challenge::of(headers.iter().filter_map(|value| value.to_str().ok()))
}

pub fn header<'a>(response: &'a Response<ureq::Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn limit(limited: bool, why: &str) -> Error {
    if limited {
        return Error::new(Kind::Limited, format!("the registry limits how often one may ask: {why}"))
            .hint("wait, or log in: most registries allow more to those they know");
    }
    Error::new(Kind::Refused, why)
}

fn spoken(wait: Duration) -> String {
    match wait.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds.div_ceil(60)),
        seconds => format!("{} hours", seconds.div_ceil(3600)),
    }
}

/// What the registry says about its refusal, ready to be put behind ours (distribution-spec, "Error Codes").
pub fn words(response: &mut Response<ureq::Body>) -> String {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        errors: Vec<One>,
        details: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct One {
        code: String,
        message: String,
    }
    let bytes = response.body_mut().with_config().limit(1 << 16).read_to_vec().unwrap_or_default();
    let Ok(answer) = serde_json::from_slice::<Answer>(&bytes) else { return String::new() };
    let one = answer.errors.first().map(|one| if one.message.is_empty() { &one.code } else { &one.message });
    let said = one.or(answer.details.as_ref()).filter(|said| !said.is_empty());
    said.map_or_else(String::new, |said| format!(" ({})", said.chars().take(300).collect::<String>()))
}

/// The error for an answer that is none of those that were expected.
pub fn refusal(response: &mut Response<ureq::Body>, missing: &str) -> Error {
    let status = response.status();
    let words = words(response);
    if status == StatusCode::NOT_FOUND {
        // Most say in their words what we say already.
        let more = if missing.ends_with(words.trim_matches([' ', '(', ')'])) { "" } else { &words };
        return Error::new(Kind::Missing, format!("{missing}{more}"));
    }
    Error::new(Kind::Refused, format!("the registry answers {status}{words}"))
}

/// ureq's errors in words, with a fix.
pub fn explain(error: ureq::Error, whom: &str) -> Error {
    let name = whom.split_once("://").map_or(whom, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let unreachable = |why: String| Error::new(Kind::Unreachable, why);
    match error {
        ureq::Error::Timeout(_) => unreachable(format!("{name} does not answer"))
            .hint("is it the right host? SAMPAN_REGISTRY_TIMEOUT says for how many seconds a slow one is waited for"),
        ureq::Error::HostNotFound => unreachable(format!("there is no host of the name {name}"))
            .hint("is the registry's name spelt right? /etc/hosts and the servers in /etc/resolv.conf were asked"),
        ureq::Error::BodyExceedsLimit(limit) => {
            Error::new(Kind::Corrupt, format!("{name} sends an answer longer than the {limit} bytes that it may have"))
        }
        ureq::Error::ConnectProxyFailed(why) => unreachable(format!("{name}: {why}")),
        ureq::Error::TooManyRedirects => Error::new(Kind::Refused, format!("{name} sends us on in a circle")),
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<Unanswered>()) => {
            unreachable(format!("nobody says where {name} is: {error}"))
                .hint("does the network work? /etc/resolv.conf names the servers that are asked")
        }
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => distrust(error, name),
            None if error.kind() == io::ErrorKind::ConnectionRefused => {
                unreachable(format!("{name} refuses the connection: nothing listens there"))
                    .hint("does the registry run, and is that its port?")
            }
            None => unreachable(format!("{name}: {}", crate::error::of_io(&error))),
        },
        error => unreachable(format!("{name}: {error}")),
    }
}

fn distrust(error: &rustls::Error, name: &str) -> Error {
    use rustls::{AlertDescription, CertificateError as Bad, Error as Tls};
    let untrusted = |why: &str| Error::new(Kind::Untrusted, format!("{name}: {why}"));
    // One that is its own authority's, as those that are made by hand mostly are: webpki's word for it has no name here.
    let own = |bad: &Bad| matches!(bad, Bad::Other(_)) && format!("{bad:?}").contains("CaUsedAsEndEntity");
    match error {
        Tls::InvalidCertificate(bad) if *bad == Bad::UnknownIssuer || own(bad) => {
            untrusted("its certificate is signed by an authority that this machine does not know").hint(format!(
                "put the authority's certificate into /etc/containers/certs.d/{name}/ca.crt, or do without with --tls-verify=false"
            ))
        }
        Tls::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) => {
            let names: Vec<&str> = presented.iter().map(|name| san(name)).collect();
            untrusted(&format!("its certificate is for a host of another name: {}", names.join(", ")))
                .hint("call the registry by that name")
        }
        Tls::InvalidCertificate(Bad::NotValidForName) => untrusted("its certificate is for a host of another name"),
        Tls::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            untrusted("its certificate has expired").hint("is this machine's clock right?")
        }
        Tls::InvalidCertificate(bad) => untrusted(&format!("its certificate is not valid: {bad}")),
        Tls::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
            untrusted("it wants a client's certificate")
                .hint(format!("put client.cert and client.key into /etc/containers/certs.d/{name}"))
        }
        // A plain HTTP server's words are no TLS record.
        Tls::InvalidMessage(_) => Error::new(Kind::Unreachable, format!("{name} does not speak TLS"))
            .hint("--tls-verify=false allows plain HTTP, and so does `insecure = true` in registries.conf"),
        error => Error::new(Kind::Unreachable, format!("{name}: {error}")),
    }
}

/// The name in rustls's form of an entry of a certificate, `DnsName("registry.example")`.
fn san(entry: &str) -> &str {
    entry.split('"').nth(1).unwrap_or(entry)
}

/// RFC 3986: a plus sign would be a space to some.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
