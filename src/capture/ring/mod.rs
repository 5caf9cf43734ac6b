//! The packet ring: `TPACKET_V3` blocks that the kernel fills and a worker reads in place.
//!
//! One ring a worker. The rings of an interface form a fanout group, which an eBPF program
//! spreads by a symmetric hash of the innermost flow, so that both directions of a conversation
//! reach the same worker, whatever tunnel carries them; without it the kernel's flow hash does,
//! and that parts the directions of about half of all tunnelled flows.
//!
//! Limits: a ring is `ring_bytes` long whatever comes; what does not fit is dropped by the kernel
//! and counted. An interface that goes down keeps its ring and goes on when it comes back; one
//! that is removed, or whose name another has now, is looked for by name, with growing pauses, and
//! opened afresh.

mod open;

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::open::Setup;
pub(super) use self::open::{can_open, link_type};
pub use self::open::{open, pin};
use crate::capture::bpf::{Control, EXCHANGES, Exchange, Maps, Program, Xdp};
use crate::capture::live::{Lacking, Notice};
use crate::capture::netlink::{self, Link};
use crate::capture::sys::{self, PacketRing};
use crate::capture::{Batch, CaptureError, Counters, Source, xdp};
use crate::frame::{Frame, LinkType};
use crate::net::{Pair, Path, Wish};
use crate::time::Timestamp;

/// One worker's ring on an interface.
#[derive(Debug)]
pub struct Ring {
    setup: Arc<Setup>,
    /// This ring's place among those of the interface.
    place: u16,
    /// `None` while the interface does not exist.
    packets: Option<PacketRing>,
    link: LinkType,
    /// Frames are numbered `place + 1`, `place + 1 + members`, …
    number: u64,
    counters: Counters,
    /// The interface's loss counter when it was last read.
    interface_dropped: u64,
    trouble: Trouble,
    /// The flow filter of this ring's socket, or that of the interface's driver, which the first
    /// ring owns.
    filter: Option<FlowFilter>,
    /// The maps of either; all rings can speak to the driver's filter.
    maps: Option<Maps>,
    /// What was said once, and is not said again.
    said: Vec<Lacking>,
    notices: Vec<Notice>,
}

/// A flow filter that is kept alive by being owned.
#[derive(Debug)]
enum FlowFilter {
    Socket(Box<Program>),
    Driver(Box<Xdp>),
}

/// How the interface is doing.
#[derive(Debug)]
enum Trouble {
    None,
    /// It is gone, and is looked for again at `next`.
    Gone {
        next: Instant,
        pause: Duration,
    },
}

impl Trouble {
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(5);

    fn gone() -> Self {
        Self::Gone { next: Instant::now(), pause: Self::FIRST_PAUSE }
    }
}

impl Source for Ring {
    fn batch(
        &mut self,
        patience: Duration,
        each: &mut impl FnMut(&Frame<'_>),
    ) -> Result<Batch, CaptureError> {
        let Some(ring) = &mut self.packets else {
            self.look_for_interface(patience);
            return Ok(Batch::Idle);
        };
        let mut waited = false;
        let mut spin = Spin::new(self.setup.options.busy_poll, patience);
        loop {
            while let Some(block) = ring.next_block() {
                let mut frames = 0;
                let mut octets = 0;
                let mut number = self.number;
                let stride = u64::from(self.setup.members);
                let first = u64::from(self.place) + 1;
                for seen in block.frames() {
                    each(&Frame {
                        data: seen.data,
                        wire_len: seen.wire_len,
                        at: Timestamp::from_parts(seen.seconds.into(), seen.nanos),
                        link: self.link,
                        source: self.setup.source,
                        number: number * stride + first,
                        vlan: seen.tci,
                    });
                    number += 1;
                    frames += 1;
                    octets += u64::from(seen.wire_len);
                }
                self.number = number;
                if frames > 0 {
                    self.counters.packets += frames;
                    self.counters.bytes += octets;
                    return Ok(Batch::Frames(usize::try_from(frames).unwrap_or(usize::MAX)));
                }
            }
            if waited {
                break;
            }
            let Some(spent) = spin.over() else {
                core::hint::spin_loop();
                continue;
            };
            waited = true;
            match wait(ring.as_fd(), patience.saturating_sub(spent)) {
                Ok(Waited::Ready) => {}
                Ok(Waited::Nothing) => {
                    // The kernel says when an interface goes down, not when it goes away. What its
                    // last block held was handed over long ago.
                    if !matches!(sys::bound_interface(ring.as_fd()), Ok(Some(_))) {
                        let link = netlink::link(&self.setup.interface).ok().flatten();
                        self.leave(link.as_ref());
                    }
                    break;
                }
                Ok(Waited::Trouble) => {
                    // Reading the error clears it; what it was matters less than that it was.
                    let _ = rustix::net::sockopt::socket_error(ring.as_fd());
                    self.counters.outages += 1;
                }
                Err(why) => {
                    return Err(CaptureError::Down {
                        what: self.setup.interface.clone(),
                        why: why.to_string(),
                    });
                }
            }
        }
        Ok(Batch::Idle)
    }

    fn counters(&mut self) -> Counters {
        let link = netlink::link(&self.setup.interface).ok().flatten();
        match link {
            Some(link) if self.is_of_another(&link) => {
                self.leave(None);
                self.counters.outages += 1;
                // What it lost before was not to be seen here.
                self.interface_dropped = link.receive_dropped;
            }
            link => self.count_losses(link.as_ref()),
        }
        // The driver's filter is one for all rings; the one that owns it reports.
        if self.filter.is_some()
            && let Some(maps) = &self.maps
        {
            match maps.skipped() {
                Ok(skipped) => {
                    self.counters.skipped = skipped;
                    self.counters.skipped_in_kernel = skipped.total().packets;
                }
                Err(why) => self.say_once(Lacking::KernelCounts, why.to_string()),
            }
        }
        self.counters
    }

    fn fill(&self) -> u8 {
        self.packets.as_ref().map_or(0, PacketRing::fill)
    }

    fn wish(&mut self, path: &Path, wish: Wish) {
        if let Some(maps) = &mut self.maps {
            maps.wish(path, wish);
        }
    }

    fn leaves_out(&self) -> bool {
        self.maps.is_some()
    }

    fn watch(&mut self, pair: Pair) {
        if let Some(maps) = &mut self.maps {
            maps.watch(pair);
        }
    }

    fn unwatch(&mut self, pair: Pair) {
        if let Some(maps) = &mut self.maps {
            maps.unwatch(pair);
        }
    }

    fn exchanges(&mut self) -> Vec<Exchange> {
        let Some(maps) = &mut self.maps else { return Vec::new() };
        let (exchanges, uncounted) = maps.exchanges();
        if uncounted > 0 {
            let why = format!("{uncounted} pairs are more than its {EXCHANGES} places");
            self.say_once(Lacking::KernelVolume, why);
        }
        exchanges
    }

    fn is_open(&self) -> bool {
        self.packets.is_some()
    }

    fn notices(&mut self) -> Vec<Notice> {
        core::mem::take(&mut self.notices)
    }
}

impl Ring {
    fn say_once(&mut self, what: Lacking, why: String) {
        if !self.said.contains(&what) {
            self.said.push(what);
            self.notices.push(Notice { interface: self.setup.interface.clone(), what, why });
        }
    }

    /// Is this what the interface's name stands for now, and the ring that of another, which was
    /// given a new one?
    fn is_of_another(&self, link: &Link) -> bool {
        self.packets.as_ref().is_some_and(|ring| link.is_not_of(ring.as_fd()))
    }

    /// Gives the ring up; `link` is what its losses are asked of.
    fn leave(&mut self, link: Option<&Link>) {
        self.count_losses(link);
        self.packets = None;
        self.trouble = Trouble::gone();
    }

    /// Takes over what the kernel counted since the last time: its counters start again at zero,
    /// or belong to a socket that is about to close.
    fn count_losses(&mut self, link: Option<&Link>) {
        if let Some(ring) = &self.packets
            && let Ok(losses) = sys::take_statistics(ring.as_fd())
        {
            self.counters.dropped_kernel += u64::from(losses.dropped);
            self.counters.freezes += u64::from(losses.freezes);
        }
        // The interface's own losses are nobody's in particular; the first ring reports them.
        if let Some(link) = link.filter(|_| self.place == 0) {
            // Less than before means that the interface was made anew.
            let new = link.receive_dropped.checked_sub(self.interface_dropped);
            self.counters.dropped_interface += new.unwrap_or(link.receive_dropped);
            self.interface_dropped = link.receive_dropped;
        }
    }

    /// Replaces the filter that refuses everything by the one that was asked for.
    fn open_gate(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        match (&self.setup.filter, &self.filter) {
            (Some(filter), _) => sys::attach_classic(socket, filter),
            (None, Some(FlowFilter::Socket(program))) => sys::attach_program(socket, program.fd()?),
            (None, _) => sys::detach_filter(socket),
        }
    }

    /// The interface is gone: waits a little, and opens it again when it is back.
    fn look_for_interface(&mut self, patience: Duration) {
        let Trouble::Gone { next, pause } = self.trouble else {
            self.trouble = Trouble::gone();
            return;
        };
        let now = Instant::now();
        if next > now {
            std::thread::sleep(patience.min(next - now));
            return;
        }
        match self.reopen() {
            Ok(()) => {
                self.trouble = Trouble::None;
                self.said.retain(|what| *what != Lacking::Capture);
            }
            Err(why) => {
                // Not that it is gone, which is counted; that it is back in vain. The other rings
                // may need a while to leave the old group.
                let link = netlink::link(&self.setup.interface);
                let is_up = matches!(&link, Ok(Some(link)) if link.is_up());
                if pause >= Trouble::LONGEST_PAUSE && is_up {
                    self.say_once(Lacking::Capture, why.to_string());
                }
                self.trouble = Trouble::Gone {
                    next: now + pause,
                    pause: (pause * 2).min(Trouble::LONGEST_PAUSE),
                };
            }
        }
    }

    /// A new socket and ring on the interface of the same name. Fails while the old group still
    /// has members, who leave it within their patience.
    fn reopen(&mut self) -> io::Result<()> {
        let link = netlink::link(&self.setup.interface)?
            .filter(Link::is_up)
            .ok_or_else(|| io::Error::other("not there"))?;
        self.link = link_type(&link)?;
        let mut notices = Vec::new();
        let ring = self.setup.open_ring(&link, self.place, &mut notices)?;
        // Since the first time privileges were given up, so there may be more of them. A try that
        // fails keeps its own to itself: it is made again.
        self.notices.append(&mut notices);
        if let Some(FlowFilter::Driver(driver)) = &mut self.filter {
            let all = netlink::links()?;
            let link = all.iter().find(|other| other.index == link.index).unwrap_or(&link);
            let moved = xdp::admit(link, &all)
                .map_err(io::Error::other)
                .and_then(|()| driver.move_to(link.index));
            // Without it every frame is delivered: slower, and nothing is missed.
            if let Err(why) = moved {
                self.notices.push(Notice {
                    interface: self.setup.interface.clone(),
                    what: Lacking::KernelFilter,
                    why: why.to_string(),
                });
            }
        }
        self.open_gate(ring.as_fd())?;
        self.packets = Some(ring);
        self.interface_dropped = self.interface_dropped.min(link.receive_dropped);
        Ok(())
    }
}

/// Looking at the ring again and again before sleeping.
///
/// `SO_BUSY_POLL` would not do it: poll(2) spins only where `net.core.busy_poll` says so
/// (socket(7)), and then in the driver that the socket's last frame came from, which the kernel
/// does not note for packet sockets.
struct Spin {
    most: Duration,
    /// Unset until there was nothing to read: a ring that has frames asks no clock.
    began: Option<Instant>,
}

impl Spin {
    /// Longer than its patience would keep a worker from noticing that it is to stop.
    fn new(most: Option<Duration>, patience: Duration) -> Self {
        Self { most: most.unwrap_or_default().min(patience), began: None }
    }

    /// How long it took, once it is over.
    fn over(&mut self) -> Option<Duration> {
        if self.most.is_zero() {
            return Some(Duration::ZERO);
        }
        let spent = self.began.get_or_insert_with(Instant::now).elapsed();
        (spent >= self.most).then_some(spent)
    }
}

enum Waited {
    Ready,
    Nothing,
    Trouble,
}

fn wait(socket: BorrowedFd<'_>, patience: Duration) -> io::Result<Waited> {
    let mut watched = [PollFd::from_borrowed_fd(socket, PollFlags::IN | PollFlags::ERR)];
    let limit = Timespec::try_from(patience).ok();
    match poll(&mut watched, limit.as_ref()) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(Waited::Nothing),
        Ok(_) if watched[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL) => {
            Ok(Waited::Trouble)
        }
        Ok(_) => Ok(Waited::Ready),
        Err(why) => Err(why.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_spins_unasked_and_no_spin_outlasts_patience() {
        let long = Duration::from_secs(3_600);
        let short = Duration::from_millis(1);
        assert_eq!(Spin::new(None, long).over(), Some(Duration::ZERO));
        assert_eq!(Spin::new(Some(long), long).over(), None);
        for (most, patience) in [(short, long), (long, short)] {
            let mut spin = Spin::new(Some(most), patience);
            let spent = core::iter::from_fn(|| Some(spin.over())).flatten().next();
            assert!(spent.is_some_and(|spent| spent >= short));
        }
    }
}
