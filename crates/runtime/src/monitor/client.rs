//! One who has called: what he wants, and what he has not taken yet.

use super::channel::{self, Packet, Peer};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

#[derive(Debug)]
pub(super) struct Client {
    pub socket: OwnedFd,
    pub peer: Peer,
    /// The container's output is for him.
    pub attached: bool,
    /// His input is for the container.
    pub input: bool,
    /// He is told when the container has ended.
    pub waits: bool,
    pub gone: bool,
    pending: VecDeque<Vec<u8>>,
}

impl Client {
    pub fn new(socket: OwnedFd, peer: Peer) -> Self {
        let pending = VecDeque::new();
        Self { socket, peer, attached: false, input: false, waits: false, gone: false, pending }
    }

    /// He has not taken all that is for him.
    pub fn is_behind(&self) -> bool {
        !self.gone && !self.pending.is_empty()
    }

    pub fn tell(&mut self, packet: &Packet<'_>) {
        self.pass(packet.bytes());
    }

    /// In their order, so behind what he has not taken.
    pub fn pass(&mut self, packet: Vec<u8>) {
        self.pending.push_back(packet);
        if self.pending.len() == 1 {
            self.push();
        }
    }

    /// As much as he takes.
    pub fn push(&mut self) {
        while let Some(packet) = self.pending.front() {
            match channel::send(&self.socket, packet, false) {
                Ok(()) => _ = self.pending.pop_front(),
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.gone = true;
                    return self.pending.clear();
                }
            }
        }
    }
}
