//! Reading netlink's answers.

use super::message::{Attributes, HEADER};
use rustix::io::Errno;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

pub(super) enum Answer<'a> {
    /// A message was executed, or a dump ended.
    Done,
    Data {
        kind: u16,
        payload: &'a [u8],
    },
    Refused {
        sequence: u32,
        errno: Errno,
        text: &'a str,
    },
}

/// The messages in what one `recv` returned.
pub(super) struct Answers<'a>(&'a [u8]);

impl<'a> Answers<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header: &[u8; HEADER] = self.0.first_chunk()?;
        let length = word(header, 0) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let flags = u16::from_ne_bytes([header[6], header[7]]);
        let sequence = word(header, 8);
        let payload = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        let status = if payload.len() < 4 { 0 } else { word(payload, 0).cast_signed() };
        Some(match kind {
            // A dump that broke says so in its last message.
            NLMSG_ERROR | NLMSG_DONE if status < 0 => {
                Answer::Refused { sequence, errno: Errno::from_raw_os_error(-status), text: text(kind, flags, payload) }
            }
            NLMSG_ERROR | NLMSG_DONE => Answer::Done,
            kind => Answer::Data { kind, payload },
        })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_ne_bytes(*word))
}

/// The kernel's own explanation (extended acknowledgement), empty where it gave none.
fn text(kind: u16, flags: u16, payload: &[u8]) -> &str {
    if kind != NLMSG_ERROR || flags & NLM_F_ACK_TLVS == 0 {
        return "";
    }
    let echoed = if flags & NLM_F_CAPPED != 0 { HEADER } else { word(payload, 4) as usize };
    let attributes = payload.get(4 + echoed..).unwrap_or_default();
    Attributes::new(attributes)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .and_then(|(_, text)| std::str::from_utf8(text.strip_suffix(&[0])?).ok())
        .unwrap_or_default()
}
