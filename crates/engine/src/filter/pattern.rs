//! Names with stars in them, as Go's `path.Match` takes them.

use spec::unit::Invalid;
use std::str::FromStr;

/// `*` and `?` stand for what has no slash, `[a-z]` and `[^a-z]` for one character; a backslash takes that away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Exactly(char),
    Class { not: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Any | Self::One => c != '/',
            Self::Exactly(exactly) => c == *exactly,
            Self::Class { not, ranges } => {
                c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *not
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong =
            || Invalid::new("not a pattern").hint("a name, in which * and ? stand for others and [a-z] for one");
        // docker's own registry is in no name that it shows.
        let text =
            ["docker.io/library/", "docker.io/"].iter().find_map(|front| text.strip_prefix(front)).unwrap_or(text);
        if text.is_empty() {
            return Err(wrong());
        }
        let mut pieces = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                '[' => class(&mut rest).ok_or_else(wrong)?,
                '\\' => Piece::Exactly(rest.next().ok_or_else(wrong)?),
                c => Piece::Exactly(c),
            });
        }
        Ok(Self(pieces))
    }
}

/// Up to the `]`.
fn class(rest: &mut std::str::Chars<'_>) -> Option<Piece> {
    let one = |rest: &mut std::str::Chars<'_>| match rest.next()? {
        '\\' => rest.next(),
        '-' | ']' => None,
        c => Some(c),
    };
    let not = rest.as_str().starts_with('^');
    if not {
        rest.next();
    }
    let mut ranges = Vec::new();
    while ranges.is_empty() || !rest.as_str().starts_with(']') {
        let low = one(rest)?;
        let high = if rest.as_str().starts_with('-') {
            rest.next();
            one(rest)?
        } else {
            low
        };
        ranges.push((low, high));
    }
    rest.next();
    Some(Piece::Class { not, ranges })
}

impl Pattern {
    /// What the last star took is given back character by character. No earlier one has to: it could take more only up to
    /// the next slash, and there the pattern must have one, too.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut piece, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() || piece < self.0.len() {
            match self.0.get(piece) {
                Some(Piece::Any) => {
                    star = Some((piece, at));
                    piece += 1;
                }
                Some(other) if text.get(at).is_some_and(|c| other.fits(*c)) => {
                    piece += 1;
                    at += 1;
                }
                _ => match star {
                    Some((any, taken)) if text.get(taken).is_some_and(|c| Piece::Any.fits(*c)) => {
                        star = Some((any, taken + 1));
                        (piece, at) = (any + 1, taken + 1);
                    }
                    _ => return false,
                },
            }
        }
        true
    }
}
