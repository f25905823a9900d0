//! What a worker knows of what it has made: what was acknowledged, and what may be after an operation was broken off.

use super::stage;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    None,
    Created,
    Running,
    Paused,
    Exited,
}

impl State {
    pub const ALL: [Self; 5] = [Self::None, Self::Created, Self::Running, Self::Paused, Self::Exited];

    fn of(word: &str) -> Self {
        match word {
            "created" => Self::Created,
            "running" => Self::Running,
            "paused" => Self::Paused,
            "exited" => Self::Exited,
            _ => Self::None,
        }
    }
}

/// What `/token` may hold, in a container or a volume; None: no such file.
pub type Tokens = Vec<Option<String>>;

#[derive(Debug, Clone)]
pub struct Container {
    /// `rename` goes from one to the other.
    pub names: [String; 2],
    pub now: usize,
    pub state: State,
    pub tokens: Tokens,
    /// On a bridge, so that it can be connected to more.
    pub bridged: bool,
    /// Of the worker's own.
    pub network: Option<usize>,
    pub connected: bool,
    pub volume: Option<usize>,
}

impl Container {
    pub fn name(&self) -> &str {
        &self.names[self.now]
    }

    /// What `ps` says of it, under whichever name.
    ///
    /// # Errors
    /// It has both names, or a state that it cannot have.
    pub fn look(&mut self, listed: &str) -> Result<State, String> {
        let rows = listed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let rows: Vec<Value> = rows.filter(|row| self.names.iter().any(|name| row["Names"] == name.as_str())).collect();
        match rows.as_slice() {
            [] => Ok(State::None),
            [row] => {
                self.now = usize::from(row["Names"] == self.names[1].as_str());
                match State::of(row["State"].as_str().unwrap_or_default()) {
                    State::None => Err(format!("no state: {row}")),
                    state => Ok(state),
                }
            }
            _ => Err(format!("one container has two rows: {rows:?}")),
        }
    }
}

/// A volume, a network or an image.
#[derive(Debug, Clone)]
pub struct Thing {
    pub name: String,
    pub is_there: bool,
    pub tokens: Tokens,
}

impl Thing {
    fn new(name: String) -> Self {
        Self { name, is_there: false, tokens: vec![None] }
    }
}

/// Numbers of images.
pub const PULLED: usize = 0;
pub const LOADED: usize = 1;
pub const COMMITTED: usize = 2;

#[derive(Debug, Clone)]
pub struct Model {
    pub containers: Vec<Container>,
    pub volumes: Vec<Thing>,
    pub networks: Vec<Thing>,
    pub images: Vec<Thing>,
}

impl Model {
    /// `owner` is a part of all names.
    pub fn new(owner: &str, worker: u64) -> Self {
        let container = |at: usize| Container {
            names: [format!("{owner}-c{at}-a"), format!("{owner}-c{at}-b")],
            now: 0,
            state: State::None,
            tokens: vec![None],
            bridged: false,
            network: None,
            connected: false,
            volume: None,
        };
        let thing = |kind: &str, at: usize| Thing::new(format!("{owner}-{kind}{at}"));
        let images = [stage::pulled(worker), stage::loaded(worker), format!("localhost/{owner}:1")];
        Self {
            containers: (0..3).map(container).collect(),
            volumes: (0..2).map(|at| thing("v", at)).collect(),
            networks: (0..2).map(|at| thing("n", at)).collect(),
            images: images.into_iter().map(Thing::new).collect(),
        }
    }
}
