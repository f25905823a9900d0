//! What is done until the power fails, and what must be there afterwards.
//!
//! Invariant: what a command that ended well has made is here, what it has removed is gone; of the command that was cut off
//! each thing may be either. Must not: expect anything that no command has acknowledged.

use crate::lab::dice::Dice;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Image,
    Container,
    Volume,
    Network,
    Secret,
}

pub const KINDS: [Kind; 5] = [Kind::Image, Kind::Container, Kind::Volume, Kind::Network, Kind::Secret];

impl Kind {
    /// Lists them, one a line.
    pub fn list(self) -> &'static str {
        match self {
            Self::Image => "sampan images --format '{{.Repository}}:{{.Tag}}'",
            Self::Container => "sampan ps -a --format '{{.Names}} {{.Status}}'",
            Self::Volume => "sampan volume ls -q",
            Self::Network => "sampan network ls --format '{{.Name}}'",
            Self::Secret => "sampan secret ls --format '{{.Name}}'",
        }
    }
}

pub type Thing = (Kind, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Here,
    Either,
}

/// A command of the shell.
#[derive(Debug, Clone)]
pub struct Deed {
    /// For the count.
    pub name: &'static str,
    pub line: String,
    pub code: i32,
    makes: Option<Thing>,
    removes: Vec<Thing>,
    stands_on: Option<String>,
}

/// What every container that was made says at its end.
const CODE: i32 = 7;

#[derive(Debug, Default)]
pub struct Model {
    /// What is not in it is gone.
    things: BTreeMap<Thing, Known>,
    /// The images of containers.
    stands_on: BTreeMap<String, String>,
    /// Containers whose end was acknowledged.
    ended: Vec<String>,
    registry: String,
}

impl Model {
    pub fn new(registry: String) -> Self {
        Self { registry, ..Self::default() }
    }

    fn all(&self, kind: Kind) -> Vec<String> {
        self.things.keys().filter(|thing| thing.0 == kind).map(|thing| thing.1.clone()).collect()
    }

    /// One of those that can be done now.
    pub fn choose(&self, dice: &mut Dice) -> Deed {
        let deeds = self.deeds();
        let sum: usize = deeds.iter().map(|(weight, _)| weight).sum();
        let mut at = dice.index(sum);
        let chosen = deeds.iter().find(|(weight, _)| {
            let found = at < *weight;
            at = at.saturating_sub(*weight);
            found
        });
        chosen.or(deeds.first()).map_or_else(|| self.pull("one"), |(_, deed)| deed.clone())
    }

    fn deeds(&self) -> Vec<(usize, Deed)> {
        let mut deeds: Vec<(usize, Deed)> = ["one", "two", "three"].map(|name| (6, self.pull(name))).to_vec();
        deeds.push((6, deed("load", "sampan load -q -i /load.tar").makes(Kind::Image, "localhost/loaded:latest")));
        let images = self.all(Kind::Image);
        let containers = self.all(Kind::Container);
        for image in &images {
            let line = format!("sampan run --rm --network=none --pull=never {image} true");
            deeds.push((2, deed("run --rm", line)));
            for name in ["c1", "c2", "c3"].into_iter().filter(|name| !self.has(Kind::Container, name)) {
                let script = format!("echo {name} >/made; dd if=/dev/urandom of=/more bs=1k count=100; exit {CODE}");
                let line = format!("sampan run --name {name} --network=none --pull=never {image} sh -c '{script}'");
                let run = Deed { code: CODE, stands_on: Some(image.clone()), ..deed("run", line) };
                deeds.push((3, run.makes(Kind::Container, name)));
            }
            if !self.stands_on.values().any(|used| used == image) {
                deeds.push((2, deed("rmi", format!("sampan rmi {image}")).removes([(Kind::Image, image.clone())])));
            }
        }
        for name in &containers {
            let line = format!("sampan rm {name}");
            deeds.push((4, deed("rm", line).removes([(Kind::Container, name.clone())])));
            let again = Deed { code: CODE, ..deed("start", format!("sampan start -a {name}")) };
            deeds.push((2, again.makes(Kind::Container, name)));
            for snap in ["snap1", "snap2"].map(|snap| format!("localhost/{snap}:latest")) {
                if self.ended.contains(name) && !self.has(Kind::Image, &snap) {
                    let line = format!("sampan commit -q {name} {snap}");
                    deeds.push((5, deed("commit", line).makes(Kind::Image, &snap)));
                }
            }
        }
        self.prunes(&mut deeds);
        for (kind, name, make) in [
            (Kind::Volume, "v1", "sampan volume create v1"),
            (Kind::Network, "n1", "sampan network create n1"),
            (Kind::Secret, "s1", "echo hush | sampan secret create s1 -"),
        ] {
            let word = make.split(' ').skip_while(|word| *word != "sampan").nth(1).unwrap_or_default();
            deeds.push(if self.has(kind, name) {
                (2, deed("rm of a thing", format!("sampan {word} rm {name}")).removes([(kind, name.to_owned())]))
            } else {
                (2, deed("create", make).makes(kind, name))
            });
        }
        deeds
    }

    fn prunes(&self, deeds: &mut Vec<(usize, Deed)>) {
        let of = |kind: Kind| self.all(kind).into_iter().map(move |name| (kind, name));
        let unused = of(Kind::Image).filter(|(_, name)| !self.stands_on.values().any(|used| used == name));
        deeds.push((3, deed("prune", "sampan image prune -af").removes(unused)));
        deeds.push((1, deed("prune", "sampan container prune -f").removes(of(Kind::Container))));
        let all = of(Kind::Image).chain(of(Kind::Container)).chain(of(Kind::Network));
        deeds.push((2, deed("prune", "sampan system prune -af").removes(all)));
    }

    fn pull(&self, name: &str) -> Deed {
        let name = format!("{}/{name}:latest", self.registry);
        deed("pull", format!("sampan pull -q --tls-verify=false {name}")).makes(Kind::Image, &name)
    }

    fn has(&self, kind: Kind, name: &str) -> bool {
        self.things.contains_key(&(kind, name.to_owned()))
    }

    /// It may be done from now on.
    pub fn begin(&mut self, deed: &Deed) {
        for thing in &deed.removes {
            self.things.insert(thing.clone(), Known::Either);
        }
        if let Some(thing) = &deed.makes {
            // What is here already stays; one that is started again has not ended.
            self.things.entry(thing.clone()).or_insert(Known::Either);
            self.ended.retain(|ended| (Kind::Container, ended.clone()) != *thing);
            self.stands_on.extend(deed.stands_on.iter().map(|image| (thing.1.clone(), image.clone())));
        }
    }

    /// It is acknowledged.
    pub fn done(&mut self, deed: &Deed) {
        for thing in &deed.removes {
            self.things.remove(thing);
            self.forget(thing);
        }
        if let Some(thing) = &deed.makes {
            self.things.insert(thing.clone(), Known::Here);
            self.ended.extend((thing.0 == Kind::Container).then(|| thing.1.clone()));
        }
    }

    fn forget(&mut self, (kind, name): &Thing) {
        if *kind == Kind::Container {
            self.stands_on.remove(name);
            self.ended.retain(|ended| ended != name);
        }
    }

    /// What is not as it must be, by what a list says; from then on it is known.
    pub fn compare(&mut self, kind: Kind, listed: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let built_in = ["bridge", "host", "none"];
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for line in listed.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, state) = line.split_once(' ').unwrap_or((line, ""));
            if kind == Kind::Network && built_in.contains(&name) {
                continue;
            }
            seen.insert(name, state);
        }
        for (name, state) in &seen {
            if !self.has(kind, name) {
                wrong.push(format!("{kind:?} {name} is here, and was never made, or its removal was acknowledged"));
            }
            let ended = self.ended.iter().any(|ended| ended == name);
            if kind == Kind::Container && (state.starts_with("Up") || ended && !state.contains(&format!("({CODE})"))) {
                wrong.push(format!("container {name} is {state:?}"));
            }
        }
        let known: Vec<(Thing, Known)> = self.things.iter().map(|(thing, known)| (thing.clone(), *known)).collect();
        for (thing, known) in known.into_iter().filter(|(thing, _)| thing.0 == kind) {
            match (seen.contains_key(thing.1.as_str()), known) {
                (true, _) => _ = self.things.insert(thing, Known::Here),
                (false, before) => {
                    if before == Known::Here {
                        wrong.push(format!("{kind:?} {} was acknowledged, and is gone", thing.1));
                    }
                    self.things.remove(&thing);
                    self.forget(&thing);
                }
            }
        }
        wrong
    }

    /// How all is removed.
    pub fn empty(&self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for (kind, word) in [
            (Kind::Container, "rm"),
            (Kind::Volume, "volume rm"),
            (Kind::Network, "network rm"),
            (Kind::Secret, "secret rm"),
        ] {
            for name in self.all(kind) {
                deeds.push(deed("rm of a thing", format!("sampan {word} {name}")).removes([(kind, name)]));
            }
        }
        let images = self.all(Kind::Image).into_iter().map(|name| (Kind::Image, name));
        deeds.push(deed("prune", "sampan system prune -af").removes(images));
        deeds
    }

    /// Those that are here.
    pub fn containers(&self) -> Vec<String> {
        self.all(Kind::Container)
    }
}

fn deed(name: &'static str, line: impl Into<String>) -> Deed {
    Deed { name, line: line.into(), code: 0, makes: None, removes: vec![], stands_on: None }
}

impl Deed {
    fn makes(mut self, kind: Kind, name: &str) -> Self {
        self.makes = Some((kind, name.to_owned()));
        self
    }

    fn removes(mut self, things: impl IntoIterator<Item = Thing>) -> Self {
        self.removes = things.into_iter().collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Model};

    #[test]
    fn only_what_was_acknowledged_is_asked_for() {
        let mut model = Model::new("h".to_owned());
        let pull = model.pull("one");
        model.begin(&pull);
        assert!(model.compare(Kind::Image, "").is_empty());
        model.begin(&pull);
        model.done(&pull);
        assert_eq!(model.compare(Kind::Image, "h/one:latest").len(), 0);
        assert_eq!(model.compare(Kind::Image, "").len(), 1);
        assert_eq!(model.compare(Kind::Image, "h/two:latest").len(), 1);
        assert_eq!(model.compare(Kind::Container, "c1 Up 3 seconds").len(), 2);
    }
}
