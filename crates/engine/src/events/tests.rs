//! What is told is read, by who asks for it.

use super::*;
use crate::filter;
use crate::time::moment;

fn paths(name: &str) -> Paths {
    let dir = std::env::temp_dir().join(format!("sampan-events-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    Paths { data: dir.join("data"), state: dir.join("state") }
}

fn all(paths: &Paths, filters: &[&str]) -> Vec<Event> {
    let filters = filters.iter().map(|text| text.parse().unwrap()).collect::<Vec<filter::Event>>();
    let mut events = Vec::new();
    let mut take = |event: Option<&Event>| {
        events.extend(event.cloned());
        Ok(())
    };
    read(paths, &Ask { filters, ..Ask::default() }, &mut take).unwrap();
    events
}

fn record(id: &str, name: &str) -> Record {
    let mut record = Record { id: id.into(), name: name.into(), image: "busybox:1".into(), ..Record::default() };
    record.config.labels.insert("kind".into(), "it".into());
    record
}

#[test]
fn what_happened_is_told_to_who_asks_for_it() {
    let paths = paths("told");
    assert_eq!(all(&paths, &[]), []);
    let (web, db) = (record("0123abc", "web"), record("456def", "db"));
    tell(&paths, [News::of(&web, "create"), News::of(&web, "start")]);
    tell(&paths, [News::new(Kind::Image, "pull", "busybox:1").with("name", "busybox:1")]);
    tell(&paths, [News::new(Kind::Network, "connect", "n1").with("name", "net").with("container", &web.id)]);
    tell(&paths, [News::of(&db, "die").with("exitCode", 3), News::of(&db, "health_status: healthy")]);
    let words = |filters: &[&str]| {
        let events = all(&paths, filters);
        events.iter().map(|event| format!("{} {}", event.kind.name(), event.action)).collect::<Vec<_>>().join(",")
    };
    for (filters, left) in [
        (
            &[][..],
            "container create,container start,image pull,network connect,container die,container health_status: healthy",
        ),
        (&["container=web"], "container create,container start"),
        (&["container=0123"], "container create,container start,network connect"),
        (&["container=web", "container=db", "event=start", "event=die"], "container start,container die"),
        (&["image=busybox", "event=pull"], "image pull"),
        (&["image=busybox:1", "event=die"], "container die"),
        (&["event=health_status"], "container health_status: healthy"),
        (&["label=kind", "label=none"], ""),
        (&["label=kind=it", "event=create"], "container create"),
        (&["type=network"], "network connect"),
        (&["network=net"], "network connect"),
        (&["volume=net"], ""),
    ] {
        assert_eq!(words(filters), left, "{filters:?}");
    }
    let die = &all(&paths, &["event=die"])[0];
    let document: serde_json::Value = serde_json::from_str(&die.json).unwrap();
    let attributes = serde_json::json!({ "exitCode": "3", "image": "busybox:1", "kind": "it", "name": "db" });
    assert_eq!(document["Actor"], serde_json::json!({ "ID": "456def", "Attributes": attributes }));
    assert_eq!((&document["timeNano"], &document["scope"]), (&die.time.0.into(), &"local".into()));
    assert_eq!(("x=y".parse::<filter::Event>().unwrap_err().why, failure()), ("there is no filter x".to_owned(), None));
    // The past, up to a moment.
    let mut count = 0;
    let until = Ask { until: Some(moment("1s").unwrap()), stream: true, ..Ask::default() };
    let mut take = |event: Option<&Event>| {
        count += u32::from(event.is_some());
        Ok(())
    };
    read(&paths, &until, &mut take).unwrap();
    assert_eq!(count, 0);
    std::fs::remove_dir_all(paths.data.parent().unwrap()).unwrap();
}

#[test]
fn a_torn_line_costs_no_other() {
    let paths = paths("torn");
    tell(&paths, [News::of(&record("1", "one"), "create")]);
    let mut log = File::options().append(true).open(log(&paths)).unwrap();
    log.write_all(b"{\"Type\":\"cont").unwrap();
    mend(&paths).unwrap();
    mend(&paths).unwrap();
    tell(&paths, [News::of(&record("2", "two"), "create")]);
    let ids: Vec<String> = all(&paths, &[]).into_iter().map(|event| event.id).collect();
    assert_eq!(ids, ["1", "2"]);
    std::fs::remove_dir_all(paths.data.parent().unwrap()).unwrap();
}

/// Many at once, over several full files, with one who follows: nothing is missing, twice or torn.
#[test]
fn many_tell_at_once_and_the_log_is_bounded() {
    let paths = paths("many");
    // In all less than the log holds: a reader that the machine lets wait misses nothing either.
    let filler = "x".repeat(900);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut followed = Vec::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (paths, filler) = (&paths, &filler);
                scope.spawn(move || {
                    for number in 0..3000 {
                        let id = format!("{writer}-{number}");
                        tell(paths, [News::new(Kind::Volume, "mount", id).with("filler", filler)]);
                    }
                })
            })
            .collect();
        let (paths, stop, followed) = (&paths, &stop, &mut followed);
        let reader = scope.spawn(move || {
            let ask = Ask { since: Some(Moment(0)), stream: true, ..Ask::default() };
            let _ = read(paths, &ask, &mut |event| match event {
                Some(event) => {
                    followed.push(event.id.clone());
                    Ok(())
                }
                None if stop.load(std::sync::atomic::Ordering::Relaxed) => Err(io::ErrorKind::Other.into()),
                None => Ok(()),
            });
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // Wakes the reader, which is told of it, too.
        tell(paths, [News::new(Kind::Volume, "mount", "last")]);
        reader.join().unwrap();
    });
    assert_eq!(failure(), None);
    let mut seen: Vec<String> = followed.into_iter().filter(|id| id != "last").collect();
    assert_eq!(seen.len(), 12_000);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12_000, "twice");
    for number in 0..8000 {
        tell(&paths, [News::new(Kind::Volume, "mount", format!("more-{number}")).with("filler", &filler)]);
    }
    let sizes: Vec<u64> = std::fs::read_dir(paths.data.join("events"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert!(sizes.len() == COUNT && sizes.iter().all(|size| *size < 2 * SIZE), "{sizes:?}");
    std::fs::remove_dir_all(paths.data.parent().unwrap()).unwrap();
}
