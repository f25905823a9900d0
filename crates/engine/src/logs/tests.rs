//! What was written comes back: any bytes, any pieces, over full files, from any place.

use super::reader::Files;
use super::*;
use crate::request::log::{Driver, Log, Named};
use crate::time::Moment;
use std::path::PathBuf;

struct Ground(PathBuf);

impl Ground {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sampan-logs-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn writer(&self, log: &Log) -> Writer {
        let named = Named { id: "0123456789abcdef", name: "web", image: "busybox", command: "sh" };
        let labels = [("kind".to_owned(), "x\"y".to_owned())].into();
        Writer::open(log, &self.0, Whose { named, labels: &labels, env: &["A=b".to_owned()] }).unwrap()
    }

    fn path(&self, log: &Log) -> PathBuf {
        path(log, &self.0)
    }

    fn read(&self, log: &Log, ask: Ask) -> Vec<Line> {
        rest(&mut Files::open(&self.path(log), format::decode, ask).unwrap())
    }

    fn files(&self, log: &Log) -> Vec<(String, u64)> {
        let entries = std::fs::read_dir(self.path(log).parent().unwrap()).unwrap().map(Result::unwrap);
        let mut files: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect();
        files.sort();
        files
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn rest(files: &mut Files) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Line::default();
    while files.next(&mut line).unwrap() {
        lines.push(line.clone());
    }
    lines
}

fn bytes(lines: &[Line], stream: Stream) -> Vec<u8> {
    lines.iter().filter(|line| line.stream == stream).flat_map(|line| line.text.clone()).collect()
}

fn drivers() -> [Log; 2] {
    [Driver::K8sFile, Driver::JsonFile].map(|driver| Log { driver: Some(driver), ..Log::default() })
}

/// The same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % most as u64).unwrap()
    }
}

#[test]
fn any_bytes_in_any_pieces_come_back() {
    let ground = Ground::new("pieces");
    for log in drivers() {
        let mut random = Random(7);
        let mut wrote = [Vec::new(), Vec::new()];
        let mut writer = ground.writer(&log);
        for round in 0..400 {
            let length = if round % 50 == 0 { 100_000 } else { random.below(200) };
            let kind = random.below(3);
            let piece: Vec<u8> = match kind {
                0 => (0..length).map(|_| random.below(256) as u8).collect(),
                1 => "äöü€😀\n".bytes().cycle().skip(random.below(13)).take(length).collect(),
                _ => vec![b'x'; length],
            };
            let stream = Stream::BOTH[random.below(2)];
            writer.write(stream, &piece, Moment(round)).unwrap();
            wrote[stream.index()].extend(piece);
        }
        writer.finish(Moment(400)).unwrap();
        let lines = ground.read(&log, Ask::default());
        for stream in Stream::BOTH {
            assert!(bytes(&lines, stream) == wrote[stream.index()], "{:?} {stream:?}", log.driver);
        }
        // A line begins after a newline of its stream, and there only.
        let mut before = [true; 2];
        for line in &lines {
            assert_eq!(line.begins, std::mem::replace(&mut before[line.stream.index()], line.text.ends_with(b"\n")));
        }
    }
}

#[test]
fn text_in_pieces_is_text_in_json() {
    let ground = Ground::new("text");
    let log = &drivers()[1];
    let mut writer = ground.writer(log);
    let text = "a€😀".repeat(9000);
    for byte in text.as_bytes().chunks(7) {
        writer.write(Stream::Stdout, byte, Moment(0)).unwrap();
    }
    writer.write(Stream::Stdout, text.as_bytes(), Moment(0)).unwrap();
    writer.finish(Moment(0)).unwrap();
    let written = std::fs::read_to_string(ground.path(log)).unwrap();
    assert!(!written.contains("bytes") && !written.contains('\u{fffd}'));
    assert_eq!(bytes(&ground.read(log, Ask::default()), Stream::Stdout), text.repeat(2).as_bytes());
}

#[test]
fn a_log_is_bounded_and_its_last_lines_are_all_there() {
    let ground = Ground::new("bounded");
    for log in drivers() {
        let log = Log { max_size: Some(4000), max_files: Some(3), ..log };
        // As its container was started again.
        for start in [0, 500] {
            let mut writer = ground.writer(&log);
            for number in start..start + 500 {
                writer.write(Stream::Stdout, format!("line {number}\n").as_bytes(), Moment(number)).unwrap();
            }
        }
        let files = ground.files(&log);
        let files: Vec<_> = files
            .iter()
            .filter(|(name, _)| *name.split('.').next().unwrap() == *ground.path(&log).file_stem().unwrap())
            .collect();
        assert_eq!(files.len(), 3, "{files:?}");
        assert!(files.iter().all(|(_, size)| (1..=4000).contains(size)), "{files:?}");
        let lines = ground.read(&log, Ask::default());
        assert!(lines.len() > 100, "{}", lines.len());
        for (line, number) in lines.iter().rev().zip((0..1000).rev()) {
            assert_eq!(line.text, format!("line {number}\n").as_bytes());
        }
    }
}

#[test]
fn one_file_begins_anew_and_no_limit_is_none() {
    let ground = Ground::new("one");
    let one = Log { max_size: Some(1000), max_files: Some(1), ..Log::default() };
    let free = Log { max_size: Some(0), path: Some(ground.0.join("free/log")), ..Log::default() };
    for log in [&one, &free] {
        let mut writer = ground.writer(log);
        for number in 0..2000 {
            writer.write(Stream::Stderr, format!("{number}\n").as_bytes(), Moment(0)).unwrap();
        }
    }
    assert!(matches!(&ground.files(&one)[..], [(name, 1..=1000)] if name == "ctr.log"));
    assert_eq!(ground.read(&one, Ask::default()).last().unwrap().text, b"1999\n");
    assert_eq!(ground.read(&free, Ask::default()).len(), 2000);
}

#[test]
fn a_record_that_a_power_cut_tore_does_not_take_the_next_with_it() {
    let ground = Ground::new("torn");
    let log = Log::default();
    ground.writer(&log).write(Stream::Stdout, b"one\ntwo\n", Moment(5)).unwrap();
    let path = ground.path(&log);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 6).unwrap();
    ground.writer(&log).write(Stream::Stdout, b"three\n", Moment(6)).unwrap();
    let texts: Vec<_> = ground.read(&log, Ask::default()).into_iter().map(|line| line.text).collect();
    assert_eq!((texts.len(), &texts[0][..], &texts[2][..]), (3, &b"one\n"[..], &b"three\n"[..]));
    // What is not a file is never full, and not renamed.
    let device = Log { path: Some("/dev/full".into()), max_size: Some(10), ..Log::default() };
    let error = ground.writer(&device).write(Stream::Stdout, b"lost\n", Moment(0)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn the_last_lines_are_whole() {
    let ground = Ground::new("tail");
    for log in drivers() {
        let log = Log { max_size: Some(200_000), ..log };
        let mut writer = ground.writer(&log);
        let mut put = |stream, text: &[u8], time| writer.write(stream, text, Moment(time)).unwrap();
        let long = vec![b'y'; 100_000];
        put(Stream::Stdout, b"a\nb\n", 1);
        put(Stream::Stderr, b"c\n", 2);
        put(Stream::Stdout, &long, 3);
        put(Stream::Stderr, b"d\n", 4);
        put(Stream::Stdout, b"\n", 5);
        put(Stream::Stdout, b"e", 6);
        let tail = |count| {
            let lines = ground.read(&log, Ask { tail: Some(count), ..Ask::default() });
            (bytes(&lines, Stream::Stdout), bytes(&lines, Stream::Stderr))
        };
        let long = [&long[..], b"\n"].concat();
        assert_eq!(tail(0), (vec![], vec![]));
        assert_eq!(tail(1), (b"e".to_vec(), vec![]), "{:?}", log.driver);
        assert_eq!(tail(2), ([&long[..], b"e"].concat(), vec![]));
        assert_eq!(tail(3), ([&long[..], b"e"].concat(), b"d\n".to_vec()));
        assert_eq!(tail(4), ([&long[..], b"e"].concat(), b"c\nd\n".to_vec()));
        assert_eq!(tail(5), ([b"b\n", &long[..], b"e"].concat(), b"c\nd\n".to_vec()));
        assert_eq!(tail(6).0.len(), 2 + 2 + long.len() + 1);
        assert_eq!(tail(100), tail(6));
    }
}

#[test]
fn a_time_is_found_wherever_it_is() {
    let ground = Ground::new("time");
    for log in drivers() {
        let log = Log { max_size: Some(50_000), max_files: Some(100), ..log };
        let mut writer = ground.writer(&log);
        // Two records of each odd moment.
        for number in 0..10_000u64 {
            writer.write(Stream::Stdout, format!("{number}\n").as_bytes(), Moment(number / 2 * 2 + 1)).unwrap();
        }
        assert!(ground.files(&log).len() > 5);
        let texts = |ask| -> Vec<u64> {
            let lines = ground.read(&log, ask).into_iter();
            lines.map(|line| String::from_utf8(line.text).unwrap().trim().parse().unwrap()).collect()
        };
        for at in (0..10_000).step_by(453).chain([0, 1, 2, 9_998, 9_999, 10_000, 20_000]) {
            let (since, until) = (Some(Moment(at)), Some(Moment(at)));
            let (first, last) = (at / 2 * 2, at.div_ceil(2) * 2);
            assert_eq!(texts(Ask { since, ..Ask::default() }), (first.min(10_000)..10_000).collect::<Vec<_>>(), "{at}");
            assert_eq!(texts(Ask { until, ..Ask::default() }), (0..last.min(10_000)).collect::<Vec<_>>(), "{at}");
            let tail = Ask { since, until: Some(Moment(at + 100)), tail: Some(3), ..Ask::default() };
            let all = texts(Ask { tail: None, ..tail });
            assert_eq!(texts(tail), all[all.len().saturating_sub(3)..]);
        }
    }
}

#[test]
fn who_follows_misses_nothing_when_files_get_full() {
    let ground = Ground::new("follow");
    let log = Log { max_size: Some(3000), max_files: Some(40), ..Log::default() };
    let ask = Ask { follow: true, ..Ask::default() };
    let mut files = Files::open(&ground.path(&log), format::decode, ask).unwrap();
    assert_eq!(rest(&mut files), [], "not even the file is there");
    let mut writer = ground.writer(&log);
    let mut seen = Vec::new();
    let mut random = Random(3);
    for number in 0..2000 {
        writer.write(Stream::Stdout, format!("{number}\n").as_bytes(), Moment(number)).unwrap();
        // Sometimes after several files have been full.
        if random.below(200) == 0 {
            seen.extend(rest(&mut files));
        }
    }
    seen.extend(rest(&mut files));
    let whole: Vec<u8> = (0..2000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    assert!(bytes(&seen, Stream::Stdout) == whole);
    assert!(ground.files(&log).len() > 10);
    // One that sleeps too long goes on with the oldest that there is.
    for number in 2000..9000 {
        writer.write(Stream::Stdout, format!("{number}\n").as_bytes(), Moment(number)).unwrap();
    }
    let late = rest(&mut files);
    let numbers: Vec<u64> =
        late.iter().map(|line| String::from_utf8_lossy(&line.text).trim().parse().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.last() == Some(&8999) && numbers.len() > 1000);
    let until = Ask { until: Some(Moment(8990)), tail: Some(20), ..ask };
    let mut files = Files::open(&ground.path(&log), format::decode, until).unwrap();
    assert_eq!(rest(&mut files).last().unwrap().text, b"8990\n");
    assert!(files.is_over());
}

#[test]
fn labels_and_variables_are_in_dockers_records() {
    let ground = Ground::new("attributes");
    let log = Log {
        tag: Some("{{.Name}}".parse().unwrap()),
        labels: vec!["kind".to_owned(), "none".to_owned()],
        env: vec!["A".to_owned()],
        ..drivers()[1].clone()
    };
    ground.writer(&log).write(Stream::Stdout, b"a\n", Moment(0)).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(ground.path(&log)).unwrap()).unwrap();
    assert_eq!(record["attrs"], serde_json::json!({ "A": "b", "kind": "x\"y", "tag": "web" }));
    assert_eq!((&record["log"], &record["stream"]), (&"a\n".into(), &"stdout".into()));
}
