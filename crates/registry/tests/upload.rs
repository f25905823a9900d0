//! Large blobs on their way to a registry: in pieces, through breaks.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../../sampan/tests/ground/registry.rs"]
mod ground;

use ground::{Asked, Kind as Form, Proxy, Registry, Server, reply};
use registry::{Access, Client, Content, Pushed, Repository, Result, Use};
use spec::image::{Descriptor, media};
use spec::{Digest, Reference};
use std::io::{Cursor, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const SIZE: usize = 40_000_000;
/// The client's, as ARCHITECTURE and the specification leave it open.
const PIECE: u64 = 16 << 20;

struct Bytes(Vec<u8>);

impl Content for Bytes {
    fn open(&self, offset: u64) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(Cursor::new(&self.0[usize::try_from(offset).unwrap()..])))
    }
}

/// No piece of it is like another one.
fn large() -> (Bytes, Descriptor) {
    let bytes: Vec<u8> = (0..SIZE as u64 / 8).flat_map(u64::to_le_bytes).collect();
    let blob = Descriptor::new(media::LAYER, Digest::of(&bytes), bytes.len() as u64);
    (Bytes(bytes), blob)
}

fn repository(host: &str) -> Repository {
    let nowhere = |name: &str| (name == "HOME").then(|| PathBuf::from("/nonexistent"));
    let client = Client::new(Access::default(), true, &nowhere).unwrap();
    let reference: Reference = format!("{host}/a").parse().unwrap();
    client.first(&reference, Use::Push, |_| Ok(())).unwrap().0
}

#[test]
fn pieces_that_are_there_are_not_sent_again() {
    let Some(mut server) = Registry::start(Form::Plain) else { return };
    let (bytes, blob) = large();
    let proxy = Proxy::start(server.port);
    // The second piece meets a connection that ends, and then a registry that begins to run.
    *proxy.uploads.pieces.lock().unwrap() = Some(1);
    let through = repository(&proxy.host());
    std::thread::scope(|scope| {
        let push = scope.spawn(|| through.push_blob(&blob, None, &bytes).unwrap());
        while proxy.uploads.pieces.lock().unwrap().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        server.restart();
        assert_eq!(push.join().unwrap(), Pushed::Sent);
    });
    assert_eq!(proxy.uploads.bytes.load(Ordering::Relaxed), blob.size);
    let mut back = Vec::new();
    through.blob(&blob, 0).read_to_end(&mut back).unwrap();
    assert!(back == bytes.0);
}

/// docker-registry keeps the part of a piece, but then wants the upload no more.
#[test]
fn an_upload_that_is_forgotten_begins_anew() {
    let Some(server) = Registry::start(Form::Plain) else { return };
    let (bytes, blob) = large();
    let proxy = Proxy::start(server.port);
    *proxy.uploads.budget.lock().unwrap() = Some(PIECE + 5_000_000);
    let through = repository(&proxy.host());
    assert_eq!(through.push_blob(&blob, None, &bytes).unwrap(), Pushed::Sent);
    assert_eq!(proxy.uploads.bytes.load(Ordering::Relaxed), blob.size + PIECE + 5_000_000);
    assert!(through.has_blob(&blob.digest).unwrap());
}

/// A registry that does what the specification says, with what has come of its one upload.
#[derive(Default)]
struct Faithful {
    upload: Mutex<Vec<u8>>,
    /// Bytes of bodies.
    received: AtomicU64,
    /// How many bytes of each of the next pieces are taken before the connection ends.
    cuts: Mutex<Vec<u64>>,
    /// Of pieces that are answered so and not taken.
    answers: Mutex<Vec<&'static str>>,
}

impl Faithful {
    fn answer(&self, asked: &Asked, stream: &mut TcpStream) {
        let method = asked.line.split(' ').next().unwrap();
        let here = ("Location", "/v2/a/blobs/uploads/1");
        let range = |length: usize| format!("0-{}", length.saturating_sub(1));
        match method {
            "GET" if asked.path() == "/v2/" => reply(stream, "200 OK", &[], b"{}"),
            "HEAD" => reply(stream, "404 Not Found", &[], b""),
            "POST" => {
                self.upload.lock().unwrap().clear();
                reply(stream, "202 Accepted", &[here, ("OCI-Chunk-Min-Length", "1000")], b"");
            }
            "GET" => {
                let range = range(self.upload.lock().unwrap().len());
                reply(stream, "204 No Content", &[here, ("Range", &range)], b"");
            }
            "PATCH" => {
                if let Some(answer) = self.answers.lock().unwrap().pop() {
                    // The body is left unread, as by one that has no time for it.
                    return reply(stream, answer, &[("Retry-After", "1")], b"");
                }
                let mut upload = self.upload.lock().unwrap();
                let from = asked.header("content-range").and_then(|range| range.split('-').next()).unwrap();
                if from.parse() != Ok(upload.len()) {
                    return reply(stream, "416 Range Not Satisfiable", &[here, ("Range", &range(upload.len()))], b"");
                }
                let cut = self.cuts.lock().unwrap().pop();
                if !self.take(asked, stream, &mut upload, cut) {
                    return;
                }
                reply(stream, "202 Accepted", &[here, ("Range", &range(upload.len()))], b"");
            }
            _ => {
                let mut upload = self.upload.lock().unwrap();
                self.take(asked, stream, &mut upload, None);
                let digest = asked.path().rsplit_once("digest=").unwrap().1;
                let right = Digest::of(&upload).to_string() == digest;
                reply(stream, if right { "201 Created" } else { "400 Bad Request" }, &[], b"");
            }
        }
    }

    /// Whether all of the body came.
    fn take(&self, asked: &Asked, stream: &mut TcpStream, upload: &mut Vec<u8>, cut: Option<u64>) -> bool {
        let length: u64 = asked.header("content-length").unwrap().parse().unwrap();
        let before = upload.len();
        let some = cut.unwrap_or(length).min(length);
        let mut body = asked.first.as_slice().chain(&*stream);
        body.by_ref().take(some).read_to_end(upload).unwrap();
        let got = (upload.len() - before) as u64;
        self.received.fetch_add(got, Ordering::Relaxed);
        got == length
    }
}

fn faithful() -> (Arc<Faithful>, Repository) {
    let own = Arc::new(Faithful::default());
    let shared = own.clone();
    let server = Server::start(move |asked, stream| shared.answer(asked, stream));
    let repository = repository(&server.host());
    (own, repository)
}

#[test]
fn a_piece_goes_on_where_it_broke_off() {
    let (server, repository) = faithful();
    let (bytes, blob) = large();
    *server.cuts.lock().unwrap() = vec![1, 9_000_000, 3_000_000, 0];
    assert_eq!(repository.push_blob(&blob, None, &bytes).unwrap(), Pushed::Sent);
    assert_eq!(server.received.load(Ordering::Relaxed), blob.size, "each byte once");
    assert!(*server.upload.lock().unwrap() == bytes.0);
}

#[test]
fn a_registry_without_time_or_without_pieces_gets_the_blob_all_the_same() {
    let (bytes, blob) = large();
    let (server, repository) = faithful();
    *server.answers.lock().unwrap() = vec!["503 Service Unavailable", "429 Too Many Requests"];
    assert_eq!(repository.push_blob(&blob, None, &bytes).unwrap(), Pushed::Sent);
    assert_eq!(server.received.load(Ordering::Relaxed), blob.size);
    let (server, repository) = faithful();
    *server.answers.lock().unwrap() = vec!["400 Bad Request"];
    assert_eq!(repository.push_blob(&blob, None, &bytes).unwrap(), Pushed::Sent);
    assert_eq!(server.received.load(Ordering::Relaxed), blob.size);
    assert!(*server.upload.lock().unwrap() == bytes.0);
}

/// One that says that it has more than there is, or that always loses everything.
#[test]
fn a_registry_that_lies_is_left() {
    let (_, blob) = large();
    let bytes = Bytes(vec![0; SIZE]);
    for (range, why) in [("0-99999999999", "bytes of 40000000"), ("0-0", "takes no byte more")] {
        let server = Server::start(move |asked, stream| {
            let here = ("Location", "/v2/a/blobs/uploads/1");
            match asked.line.split(' ').next().unwrap() {
                "HEAD" => reply(stream, "404 Not Found", &[], b""),
                "PATCH" => {
                    let mut left = 16 << 20;
                    left -= asked.first.len();
                    let _ = std::io::copy(&mut (&*stream).take(left as u64), &mut std::io::sink());
                    reply(stream, "202 Accepted", &[here, ("Range", range)], b"");
                }
                "POST" => reply(stream, "202 Accepted", &[here], b""),
                _ => reply(stream, "200 OK", &[], b""),
            }
        });
        let error = repository(&server.host()).push_blob(&blob, None, &bytes).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}
