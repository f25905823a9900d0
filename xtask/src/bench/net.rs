//! How quick a container's network is: a large file and many small ones from its web server, over the bridge and by a
//! published port, and beside them from a server without a container.

use super::row::{LIMITS, podman_words, text};
use super::table;
use crate::command;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Of the large file.
const MEGABYTES: u64 = 512;
/// One connection each, one after the other.
const REQUESTS: u32 = 500;
/// The bench's own address, where published ports are asked for: a port at 127.0.0.1 may go another way.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2));
const PORT: u16 = 8080;
const PUBLISHED: u16 = 18080;

/// # Errors
/// Sampan's failed.
pub fn run(folder: &Path, runs: usize) -> Result<(), String> {
    let rootfs = folder.join("rootfs");
    let written = std::fs::write(rootfs.join("small"), "small\n")
        .and_then(|()| std::fs::File::create(rootfs.join("large")))
        .and_then(|file| file.set_len(MEGABYTES << 20));
    written.map_err(|error| format!("cannot write the files to serve: {error}"))?;
    println!("\n{}; the best of {runs} rounds\n", table::machine());
    println!("{:<28} {:>12} {:>14}", "", "MB/s", "requests/s");
    host(&rootfs, runs)?;
    engine("sampan", vec![text(&command::binary("release")?)], &rootfs, runs)?;
    if let Err(why) = podman_words(folder).and_then(|program| engine("podman", program, &rootfs, runs)) {
        println!("skipped: {why}");
    }
    Ok(())
}

fn host(rootfs: &Path, runs: usize) -> Result<(), String> {
    let server = ["httpd", "-f", "-p", &PORT.to_string(), "-h", &text(rootfs)].map(str::to_owned);
    let mut server = Command::new(rootfs.join("bin/busybox"))
        .args(server)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run busybox: {error}"))?;
    let measured = measure("no container, loopback", SocketAddr::new(HOST, PORT), runs);
    let _ = server.kill().and_then(|()| server.wait());
    measured
}

fn engine(name: &str, program: Vec<String>, rootfs: &Path, runs: usize) -> Result<(), String> {
    let call = |words: &[&str]| command::output(Command::new(&program[0]).args(&program[1..]).args(words));
    let layers = format!("{}:O", text(rootfs));
    let publish = format!("{PUBLISHED}:{PORT}");
    let port = PORT.to_string();
    let container = format!("bench-net-{name}");
    let run = ["run", "-d", LIMITS[0], LIMITS[1], "--name", &container, "-p", &publish, "--rootfs", &layers];
    call(&[&run, &["busybox", "httpd", "-f", "-p", &port, "-h", "/"][..]].concat())?;
    let asked = call(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &container]);
    let measured = asked.and_then(|address| {
        let address: IpAddr = address.trim().parse().map_err(|_| format!("{name}: no address: {address}"))?;
        measure(&format!("{name}, bridge"), SocketAddr::new(address, PORT), runs)?;
        measure(&format!("{name}, published port"), SocketAddr::new(HOST, PUBLISHED), runs)
    });
    call(&["stop", "-t", "0", &container])?;
    call(&["rm", &container])?;
    measured
}

/// The best of each: what disturbs a round only makes it slower.
fn measure(name: &str, server: SocketAddr, runs: usize) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let begun = Instant::now();
    while get(server, "/small").is_err() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (mut rate, mut requests) = (0_f64, 0_f64);
    for _ in 0..runs.min(10) {
        let start = Instant::now();
        if get(server, "/large")? < MEGABYTES << 20 {
            return Err(format!("{name}: the large file came only in part"));
        }
        rate = rate.max((MEGABYTES << 20) as f64 / 1e6 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        for _ in 0..REQUESTS {
            get(server, "/small")?;
        }
        requests = requests.max(f64::from(REQUESTS) / start.elapsed().as_secs_f64());
    }
    println!("{name:<28} {rate:>12.0} {requests:>14.0}");
    Ok(())
}

/// How many bytes came, header and all.
fn get(server: SocketAddr, path: &str) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("cannot get {path} from {server}: {error}");
    let mut connection = TcpStream::connect(server).map_err(failed)?;
    write!(connection, "GET {path} HTTP/1.0\r\n\r\n").map_err(failed)?;
    let (mut buffer, mut all) = (vec![0; 1 << 18], 0);
    loop {
        match connection.read(&mut buffer).map_err(failed)? {
            0 => return Ok(all),
            size => all += size as u64,
        }
    }
}
