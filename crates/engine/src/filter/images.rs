//! Images.

use super::{Label, Pattern, key_and_value, shown, unknown};
use crate::error::Result;
use crate::images::Listed;
use crate::time::moment;
use spec::unit::{Invalid, boolean};
use std::str::FromStr;

const KEYS: &str = "before, dangling, label, label!, reference, since, until";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Without a name.
    Dangling(bool),
    Label(Label),
    NoLabel(Label),
    /// Made before this one was.
    Before(String),
    Since(String),
    Reference(Pattern),
    /// Made before this second since the epoch.
    Until(u64),
}

impl FromStr for Image {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = key_and_value(text, KEYS)?;
        Ok(match key {
            "dangling" => Self::Dangling(boolean(value)?),
            "label" => Self::Label(Label::parse(value)?),
            "label!" => Self::NoLabel(Label::parse(value)?),
            "before" => Self::Before(value.to_owned()),
            "since" => Self::Since(value.to_owned()),
            "reference" => Self::Reference(value.parse()?),
            "until" => Self::Until(moment(value)?.seconds()),
            _ => return Err(unknown(key, KEYS)),
        })
    }
}

/// What is left of the list.
///
/// # Errors
/// `before` or `since` an image that is not there.
pub fn select(
    filters: &[Image],
    listed: Vec<Listed>,
    made: impl Fn(&str) -> Result<Option<u64>>,
) -> Result<Vec<Listed>> {
    // An image that does not say when it was made is older than any other, as in docker: there it has the year 1.
    let moment = |filter: &Image| match filter {
        Image::Before(word) | Image::Since(word) => made(word),
        Image::Until(second) => Ok(Some(*second)),
        Image::Dangling(_) | Image::Label(_) | Image::NoLabel(_) | Image::Reference(_) => Ok(None),
    };
    let moments: Vec<Option<u64>> = filters.iter().map(moment).collect::<Result<_>>()?;
    let all_of = |filter: &Image| matches!(filter, Image::Label(_) | Image::NoLabel(_));
    let keep = |image: &Listed| shown(filters, |at| fits(&filters[at], moments[at], image), all_of);
    Ok(listed.into_iter().filter(keep).collect())
}

fn fits(filter: &Image, moment: Option<u64>, image: &Listed) -> bool {
    match filter {
        Image::Dangling(dangling) => image.repository.is_none() == *dangling,
        Image::Label(label) => label.fits(&image.labels),
        Image::NoLabel(label) => !label.fits(&image.labels),
        Image::Before(_) | Image::Until(_) => image.created < moment,
        Image::Since(_) => image.created > moment,
        Image::Reference(pattern) => image.repository.as_ref().is_some_and(|repository| {
            let tagged = image.tag.as_ref().map(|tag| format!("{repository}:{tag}"));
            pattern.fits(repository) || tagged.is_some_and(|name| pattern.fits(&name))
        }),
    }
}
