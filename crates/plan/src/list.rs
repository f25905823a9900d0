//! Lists of CPUs and of memory nodes, as cpuset(7) has them: `0-3,7`.

/// More than any kernel counts.
const MOST: usize = 64 * 1024;

/// The set as a mask, its first number the lowest bit. Blanks around an entry, and empty ones, are let pass, as runc does.
///
/// # Errors
/// Why it is none.
pub(crate) fn mask(list: &str) -> Result<Vec<u64>, String> {
    let mut mask = Vec::new();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{entry} ends before it begins"));
        }
        if mask.len() <= last / 64 {
            mask.resize(last / 64 + 1, 0);
        }
        (first..=last).for_each(|number| mask[number / 64] |= 1 << (number % 64));
    }
    Ok(mask)
}

/// How many are in it.
pub(crate) fn count(mask: &[u64]) -> u32 {
    mask.iter().map(|word| word.count_ones()).sum()
}

fn number(text: &str) -> Result<usize, String> {
    // Not from_str alone, which takes a sign.
    let number = text.trim().parse::<usize>().ok().filter(|_| !text.contains('+'));
    let number = number.ok_or_else(|| format!("{text:?} is no number"))?;
    if number < MOST { Ok(number) } else { Err(format!("{number} is larger than {}", MOST - 1)) }
}

#[cfg(test)]
mod tests {
    use super::{count, mask};

    #[test]
    fn lists_and_what_is_none() {
        for (list, expected) in [
            ("", &[][..]),
            ("0", &[1]),
            ("0-3,7", &[0b1000_1111]),
            (" 1 , ,3 - 4,", &[0b1_1010]),
            ("63-64", &[1 << 63, 1]),
            ("5,5,4-6", &[0b111_0000]),
        ] {
            assert_eq!(mask(list).as_deref(), Ok(expected), "{list}");
        }
        assert_eq!(count(&mask("0-65535").unwrap()), 65536);
        for bad in ["x", "-1", "1-", "3-1", "0-65536", "99999999999999999999", "+1", "1;2", "0x1", "1-2-3"] {
            assert!(mask(bad).is_err(), "{bad}");
        }
    }
}
