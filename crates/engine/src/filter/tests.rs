//! Lists that were made by hand.

use super::containers::Ancestor;
use super::*;
use crate::containers::Record;
use crate::error::Error;
use spec::image::Execution;

fn image(name: Option<&str>, created: Option<u64>, labels: &[(&str, &str)]) -> crate::images::Listed {
    let (repository, tag) = name.and_then(|name| name.rsplit_once(':')).unzip();
    crate::images::Listed {
        repository: repository.map(str::to_owned),
        tag: tag.map(str::to_owned),
        id: "sha256:0".into(),
        digest: "sha256:1".into(),
        created,
        size: 0,
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

#[test]
fn images_are_chosen_as_docker_does() {
    let all = || {
        vec![
            image(Some("a:1"), Some(100), &[("x", "1"), ("y", "")]),
            image(Some("b.example/c/d:2"), Some(200), &[("x", "2")]),
            image(None, None, &[]),
        ]
    };
    let made = |word: &str| match word {
        "a" => Ok(Some(100)),
        "b" => Ok(Some(200)),
        _ => Err(Error::rejected("cannot find it", "it is not there")),
    };
    let chosen = |filters: &[&str]| -> String {
        let filters: Vec<Image> = filters.iter().map(|filter| filter.parse().unwrap()).collect();
        let left = images::select(&filters, all(), made).unwrap();
        left.iter().map(|image| image.tag.as_deref().unwrap_or("-")).collect()
    };
    for (filters, left) in [
        (&[][..], "12-"),
        (&["dangling=true"], "-"),
        (&["dangling=0"], "12"),
        (&["dangling=true", "dangling=false"], "12-"),
        (&["label=x"], "12"),
        (&["label=x=2"], "2"),
        (&["label=x", "label=y"], "1"),
        (&["label=y=z"], ""),
        (&["before=b"], "1-"),
        (&["since=a"], "2"),
        (&["since=a", "before=b"], ""),
        (&["until=150"], "1-"),
        (&["until=1970-01-01T00:03:20Z"], "1-"),
        (&["until=1970-01-02"], "12-"),
        (&["until=1h"], "12-"),
        (&["reference=a"], "1"),
        (&["reference=docker.io/library/a:1"], "1"),
        (&["reference=a:*"], "1"),
        (&["reference=*"], "1"),
        (&["reference=*/*/*:2"], "2"),
        (&["reference=a:2"], ""),
        (&["reference=a", "reference=b.example/*/d"], "12"),
        (&["reference=a", "label=x=2"], ""),
    ] {
        assert_eq!(chosen(filters), left, "{filters:?}");
    }
    assert!(images::select(&["since=none".parse().unwrap()], all(), made).is_err());
    for (text, why) in [
        ("colour=red", "there is no filter colour"),
        ("dangling", "no value"),
        ("dangling=maybe", "neither true nor false"),
        ("until=soon", "is no time"),
        ("reference=[", "not a pattern"),
        ("label=", "no label"),
    ] {
        let error = text.parse::<Image>().unwrap_err();
        assert!(error.why.contains(why) && error.hint.is_some(), "{text}: {error:?}");
    }
}

#[test]
fn containers_are_chosen_as_docker_does() {
    let container = |name: &str, running, exit_code, layers: &[&str]| crate::containers::Listed {
        record: Record {
            id: format!("{name}0"),
            name: name.to_owned(),
            image: "a:1".to_owned(),
            exit_code,
            layers: layers.iter().map(Into::into).collect(),
            config: Execution { labels: [("x".to_owned(), name.to_owned())].into(), ..Execution::default() },
            ..Record::default()
        },
        running,
    };
    let all = || {
        let mut web = container("web", true, None, &["/top", "/base"]);
        web.record.ports = vec!["0.0.0.0:8080->80/tcp".to_owned(), "[::]:8080->80/tcp".to_owned()];
        let mut db = container("db", false, None, &[]);
        db.record.config.exposed_ports.insert("53/udp".to_owned(), spec::image::Empty {});
        vec![web, container("webby", false, Some(3), &["/base"]), db]
    };
    let ancestor = |word: &str| {
        let top = (word != "gone:1").then(|| format!("/{word}").into());
        Ok(Ancestor { names: vec!["a:1".to_owned()], top })
    };
    let chosen = |every, filters: &[&str]| -> Vec<String> {
        let filters: Vec<Container> = filters.iter().map(|filter| filter.parse().unwrap()).collect();
        let left = containers::select(&filters, every, all(), ancestor, |_, _| false).unwrap();
        left.into_iter().map(|container| container.record.name).collect()
    };
    for (every, filters, left) in [
        (false, &[][..], &["web"][..]),
        (true, &[], &["web", "webby", "db"]),
        (false, &["name=web"], &["web"]),
        (true, &["name=web"], &["web", "webby"]),
        (true, &["name=^/web$"], &["web"]),
        (true, &["name=b$"], &["web", "db"]),
        (true, &["name=^webb", "name=d"], &["webby", "db"]),
        (true, &["id=webby"], &["webby"]),
        (false, &["status=exited"], &["webby"]),
        (false, &["status=exited", "status=running"], &["web", "webby"]),
        (false, &["status=created"], &["db"]),
        (false, &["status=paused"], &[]),
        (false, &["exited=3"], &["webby"]),
        (false, &["exited=0"], &[]),
        (true, &["label=x=db"], &["db"]),
        (true, &["label=x=db", "label=x=web"], &[]),
        (true, &["before=web"], &["webby", "db"]),
        (true, &["since=webby0"], &["web"]),
        (false, &["since=db"], &["web"]),
        (true, &["since=db", "before=web"], &["webby"]),
        (true, &["publish=8080"], &["web"]),
        (true, &["publish=80"], &[]),
        (true, &["publish=8000-8100/udp"], &[]),
        (true, &["expose=80/tcp"], &["web"]),
        (true, &["expose=53/udp", "expose=1-100"], &["web", "db"]),
        (true, &["expose=53"], &[]),
        (true, &["ancestor=base"], &["web", "webby"]),
        (true, &["ancestor=top"], &["web"]),
        (true, &["ancestor=gone:1"], &["web", "webby", "db"]),
    ] {
        assert_eq!(chosen(every, filters), left, "{filters:?}");
    }
    for (text, why) in [
        ("health=none", "there is no filter health"),
        ("name=a|b", "no part of a name"),
        ("name=", "no part of a name"),
        ("status=happy", "is no state"),
        ("exited=256", "is no exit code"),
        ("publish=x", ""),
        ("id=", "no id"),
        ("x", "no value"),
    ] {
        let error = text.parse::<Container>().unwrap_err();
        assert!(error.why.contains(why) && error.hint.is_some(), "{text}: {error:?}");
    }
}

#[test]
fn patterns_are_gos() {
    for (pattern, text, fits) in [
        ("a*b*c", "aXbYc", true),
        ("a*b*c", "aXbYcd", false),
        ("*a*ab", "aaaab", true),
        ("*", "a/b", false),
        ("*/*", "a/b", true),
        ("a?c", "abc", true),
        ("a?c", "a/c", false),
        ("[a-c]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("[^a-c]x", "dx", true),
        (r"\*x", "*x", true),
        (r"\*x", "ax", false),
        ("a", "ab", false),
        ("ab", "a", false),
        ("a*", "a", true),
        ("äö?", "äöü", true),
    ] {
        assert_eq!(pattern.parse::<Pattern>().unwrap().fits(text), fits, "{pattern} {text}");
    }
    for pattern in ["", "[", "[]", "[a", "[a-", "[-a]", "a\\"] {
        assert!(pattern.parse::<Pattern>().is_err(), "{pattern}");
    }
    // Stars do not make it slow.
    let long = "a".repeat(2000);
    assert!(!format!("{}b", "*a".repeat(200)).parse::<Pattern>().unwrap().fits(&long));
}
