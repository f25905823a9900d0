//! What a pull or a push is doing: a bar for each layer on a terminal, a line for each change elsewhere, in docker's words.

use super::clean;
use engine::remote::{Progress, State};
use spec::unit::decimal;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

/// Cells of a bar; with names and sizes a line has less than 80.
const WIDTH: u64 = 24;

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Output,
    Error,
    Nowhere,
}

pub struct Bars {
    to: To,
    /// The lines at the bottom that change; `None` where nothing is drawn twice.
    live: Option<Vec<(String, String)>>,
    drawn: usize,
}

impl Bars {
    #[must_use]
    pub fn new(to: To) -> Self {
        let terminal = match to {
            To::Output => io::stdout().is_terminal(),
            To::Error => io::stderr().is_terminal(),
            To::Nowhere => false,
        };
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { to, live: (terminal && !dumb).then(Vec::new), drawn: 0 }
    }

    pub fn show(&mut self, progress: &Progress) {
        let settled = match progress {
            Progress::Pulling { which, repository } => format!("{which}: Pulling from {repository}"),
            Progress::Digest(digest) => format!("Digest: {digest}"),
            Progress::Pushing { repository } => format!("The push refers to repository [{repository}]"),
            Progress::Pushed { tag, digest, size } => format!("{tag}: digest: {digest} size: {size}"),
            Progress::Layer { id, state } => match self.layer(id, *state) {
                Some(line) => line,
                None => return self.draw(""),
            },
        };
        self.line(&settled);
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        self.draw(&format!("{}{}\n", clean(text), if self.live.is_some() { "\x1b[K" } else { "" }));
    }

    /// The line to keep about a layer, if there is one.
    fn layer(&mut self, id: &str, state: State) -> Option<String> {
        let words = words(state);
        let Some(live) = &mut self.live else {
            let moves = matches!(state, State::Fetching { .. } | State::Sending { .. });
            return (!moves).then(|| format!("{id}: {words}"));
        };
        let moving = matches!(state, State::Fetching { .. } | State::Fetched | State::Sending { .. });
        match live.iter_mut().find(|(known, _)| known == id) {
            Some((_, text)) if moving => *text = format!("{id}: {words}"),
            None if moving => live.push((id.to_owned(), format!("{id}: {words}"))),
            _ => live.retain(|(known, _)| known != id),
        }
        (!moving && !matches!(state, State::Waiting | State::Preparing)).then(|| format!("{id}: {words}"))
    }

    fn draw(&mut self, settled: &str) {
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A\r", self.drawn);
        }
        text.push_str(settled);
        if let Some(live) = &self.live {
            live.iter().for_each(|(_, line)| _ = writeln!(text, "{line}\x1b[K"));
            text.push_str("\x1b[J");
            self.drawn = live.len();
        }
        // A reader that has gone away does not stop the work.
        let _ = match self.to {
            To::Output => io::stdout().lock().write_all(text.as_bytes()),
            To::Error => io::stderr().lock().write_all(text.as_bytes()),
            To::Nowhere => Ok(()),
        };
    }
}

fn words(state: State) -> String {
    match state {
        State::Waiting => "Pulling fs layer".to_owned(),
        State::There => "Already exists".to_owned(),
        State::Fetched => "Download complete".to_owned(),
        State::Done => "Pull complete".to_owned(),
        State::Fetching { done, total } => format!("Downloading {}", bar(done, total)),
        State::Sending { done, total } => format!("Pushing {}", bar(done, total)),
        State::Preparing => "Preparing".to_owned(),
        State::Sent => "Pushed".to_owned(),
        State::Known => "Layer already exists".to_owned(),
        State::Mounted => "Mounted from another repository".to_owned(),
    }
}

/// `[=====>      ]  12.3MB/45.6MB`.
fn bar(done: u64, total: u64) -> String {
    let filled = (done.min(total) * WIDTH).checked_div(total).unwrap_or(WIDTH) as usize;
    let (full, rest) = ("=".repeat(filled), " ".repeat(WIDTH as usize - filled));
    let head = if rest.is_empty() { "" } else { ">" };
    format!("[{full}{head}{}]  {}/{}", rest.get(1..).unwrap_or_default(), decimal(done, 3), decimal(total, 3))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn bars_have_one_width() {
        assert_eq!(bar(0, 100), format!("[>{}]  0B/100B", " ".repeat(23)));
        assert_eq!(bar(50, 100), format!("[{}>{}]  50B/100B", "=".repeat(12), " ".repeat(11)));
        assert_eq!(bar(100, 100), format!("[{}]  100B/100B", "=".repeat(24)));
        assert_eq!(bar(0, 0), format!("[{}]  0B/0B", "=".repeat(24)));
    }
}
