//! Capture through libpcap: wherever it runs, whatever the link type, one worker an interface.
//!
//! An interface that goes down or away is opened again when it is back; frames keep counting.

use core::time::Duration;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Instant;

use pcap::{Active, Capture, Device, Precision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::capture::counters::Widened;
use crate::capture::live::{Lacking, Notice, Options};
use crate::capture::{BATCH, Batch, CaptureError, Counters, Filter, Source, netlink};
use crate::frame::{Frame, LinkType, SourceId};
use crate::time::Timestamp;

/// An interface.
pub struct Libpcap {
    interface: String,
    source: SourceId,
    options: Options,
    state: State,
    number: u64,
    counters: Counters,
    dropped_kernel: Widened,
    dropped_interface: Widened,
}

enum State {
    Open {
        handle: Capture<Active>,
        link: LinkType,
    },
    /// It went away; try again then.
    Gone {
        next: Instant,
    },
}

/// How long after an interface went away, or could not be opened, it is looked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// What libpcap says of an interface that is there and may be captured, but is down
/// (`PCAP_ERROR_IFACE_NOT_UP`).
const NOT_UP: &str = "device is not up";

/// The most that the interface of libpcap can say, in octets.
const MAX_BUFFER: i32 = i32::MAX;

impl Libpcap {
    /// Opens `interface`; `any` is all of them. One that is down is waited for.
    ///
    /// # Errors
    /// When it does not exist, may not be captured, or the filter does not compile for it.
    pub fn open(
        interface: &str,
        source: SourceId,
        options: &Options,
    ) -> Result<Self, CaptureError> {
        let mut counters = Counters::default();
        let state = match open(interface, options) {
            Err(CaptureError::Open { why, .. }) if why.contains(NOT_UP) => {
                // How its frames begin is known, and so what the filter means, once it is up.
                options.filter.as_deref().map_or(Ok(()), Filter::check)?;
                counters.outages = 1;
                State::Gone { next: Instant::now() + PAUSE }
            }
            opened => opened?,
        };
        Ok(Self {
            interface: interface.to_owned(),
            source,
            options: options.clone(),
            state,
            number: 0,
            counters,
            dropped_kernel: Widened::default(),
            dropped_interface: Widened::default(),
        })
    }

    /// Gives up an interface whose name another has now, which was given that name or made with it.
    fn leave_another(&mut self) {
        let State::Open { handle, .. } = &self.state else { return };
        // `any` is no interface, and its socket bound to none.
        if let Ok(Some(link)) = netlink::link(&self.interface)
            && link.is_not_of(handle.as_fd())
        {
            self.lose();
        }
    }

    /// The interface went down or away.
    fn lose(&mut self) {
        self.count_losses();
        self.counters.outages += 1;
        self.dropped_kernel.restart();
        self.dropped_interface.restart();
        self.state = State::Gone { next: Instant::now() };
    }

    /// Takes over what libpcap counted since it was last asked.
    fn count_losses(&mut self) {
        if let State::Open { handle, .. } = &mut self.state
            && let Ok(stat) = handle.stats()
        {
            self.counters.dropped_kernel = self.dropped_kernel.read(stat.dropped);
            self.counters.dropped_interface =
                self.dropped_interface.read_resettable(stat.if_dropped);
        }
    }

    /// The interface is gone: waits a little, and opens it again when it is back.
    fn look_for_interface(&mut self, next: Instant, patience: Duration) {
        let now = Instant::now();
        if next > now {
            thread::sleep(patience.min(next - now));
            return;
        }
        self.state =
            open(&self.interface, &self.options).unwrap_or(State::Gone { next: now + PAUSE });
    }
}

impl Source for Libpcap {
    fn batch(
        &mut self,
        patience: Duration,
        each: &mut impl FnMut(&Frame<'_>),
    ) -> Result<Batch, CaptureError> {
        let (handle, link) = match &mut self.state {
            State::Open { handle, link } => (handle, *link),
            State::Gone { next } => {
                let next = *next;
                self.look_for_interface(next, patience);
                return Ok(Batch::Idle);
            }
        };
        let (number, counters, source) = (&mut self.number, &mut self.counters, self.source);
        let mut dispatch = |handle: &mut Capture<Active>| {
            handle.dispatch(Some(BATCH), |packet| {
                *number += 1;
                counters.packets += 1;
                counters.bytes += u64::from(packet.header.len);
                each(&Frame {
                    data: packet.data,
                    wire_len: packet.header.len,
                    at: time(packet.header.ts),
                    link,
                    source,
                    number: *number,
                    // libpcap puts tags back into the octets.
                    vlan: None,
                });
            })
        };
        let down =
            |why: Errno| CaptureError::Down { what: self.interface.clone(), why: why.to_string() };
        // It says nothing of an interface that goes down, and goes on when that is back.
        let mut trouble = wait(handle.as_fd(), Duration::ZERO).map_err(down)? == Waited::Trouble;
        let mut handed = dispatch(handle);
        if matches!(handed, Ok(0)) && !trouble {
            let waited = wait(handle.as_fd(), patience).map_err(down)?;
            trouble = waited == Waited::Trouble;
            if waited != Waited::Nothing {
                handed = dispatch(handle);
            }
        }
        match handed {
            Ok(frames) => {
                counters.outages += u64::from(trouble);
                Ok(if frames == 0 { Batch::Idle } else { Batch::Frames(frames) })
            }
            // Whatever libpcap calls it: the interface went down or away.
            Err(_) => {
                self.lose();
                Ok(Batch::Idle)
            }
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    fn counters(&mut self) -> Counters {
        self.leave_another();
        self.count_losses();
        self.counters
    }
}

/// What `options` ask for that is done with the packet ring only.
pub(super) fn lacking(interface: &str, options: &Options) -> Vec<Notice> {
    [
        (options.workers > 1, Lacking::Workers, "libpcap has no fanout"),
        (options.hardware_time, Lacking::HardwareTime, "libpcap is not asked for them"),
        (options.busy_poll.is_some(), Lacking::BusyPoll, "libpcap is only read when it has frames"),
        (!options.cpus.is_empty(), Lacking::Placement, "libpcap allocates it"),
        (options.ignore_outgoing, Lacking::IgnoreOutgoing, "libpcap does not leave them out"),
    ]
    .into_iter()
    .filter(|(asked, ..)| *asked)
    .map(|(_, what, why)| Notice { interface: interface.to_owned(), what, why: why.to_owned() })
    .collect()
}

impl core::fmt::Debug for Libpcap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Libpcap")
            .field("interface", &self.interface)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

fn open(interface: &str, options: &Options) -> Result<State, CaptureError> {
    let failed =
        |error: pcap::Error| CaptureError::Open { what: interface.into(), why: explain(&error) };
    let milliseconds = i32::try_from(options.retire.as_millis()).unwrap_or(i32::MAX);
    let mut handle = Capture::from_device(interface)
        .map_err(failed)?
        .snaplen(SNAP_LEN)
        .promisc(options.promiscuous)
        .buffer_size(i32::try_from(options.ring_bytes).unwrap_or(MAX_BUFFER))
        // Never immediate mode: with it nine tenths of a burst were lost when tried.
        .timeout(milliseconds.max(1))
        .precision(Precision::Nano)
        .open()
        .map_err(failed)?
        .setnonblock()
        .map_err(failed)?;
    if let Some(filter) = &options.filter {
        handle.filter(filter, true).map_err(|error| CaptureError::Filter {
            filter: filter.clone(),
            why: error.to_string(),
        })?;
    }
    let link = LinkType(u32::try_from(handle.get_datalink().0).unwrap_or(u32::MAX));
    Ok(State::Open { handle, link })
}

/// Octets kept of a frame: what libpcap itself takes for all of it.
const SNAP_LEN: i32 = 262_144;

/// libpcap was asked for nanoseconds, and puts them where microseconds were.
fn time(at: libc::timeval) -> Timestamp {
    let seconds = u64::try_from(at.tv_sec).unwrap_or_default();
    Timestamp::from_parts(seconds, u32::try_from(at.tv_usec).unwrap_or_default())
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Waited {
    Ready,
    Nothing,
    Trouble,
}

/// Waits until there is something to read.
fn wait(socket: BorrowedFd<'_>, patience: Duration) -> Result<Waited, Errno> {
    let timeout = Timespec::try_from(patience).ok();
    let mut sockets = [PollFd::new(&socket, PollFlags::IN)];
    match poll(&mut sockets, timeout.as_ref()) {
        Ok(0) | Err(Errno::INTR) => Ok(Waited::Nothing),
        Ok(_) if sockets[0].revents().contains(PollFlags::ERR) => Ok(Waited::Trouble),
        Ok(_) => Ok(Waited::Ready),
        Err(error) => Err(error),
    }
}

/// libpcap's error, with what to do about the usual ones.
fn explain(error: &pcap::Error) -> String {
    let text = error.to_string();
    let text = text.trim_start_matches("libpcap error: ").to_owned();
    if text.contains("ermission") || text.contains("not permitted") {
        return format!("{text} (CAP_NET_RAW is needed)");
    }
    if text.contains("No such device") {
        let known = Device::list().unwrap_or_default();
        let names: Vec<_> = known.into_iter().map(|device| device.name).collect();
        return format!("{text} (there are: {})", names.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_in_vain_is_said_and_nothing_else() {
        assert_eq!(lacking("any", &Options::default()), []);
        let options = Options {
            workers: 2,
            hardware_time: true,
            busy_poll: Some(Duration::from_micros(50)),
            cpus: vec![0],
            ignore_outgoing: true,
            ..Options::default()
        };
        let what: Vec<_> = lacking("any", &options).iter().map(|notice| notice.what).collect();
        assert_eq!(
            what,
            [
                Lacking::Workers,
                Lacking::HardwareTime,
                Lacking::BusyPoll,
                Lacking::Placement,
                Lacking::IgnoreOutgoing
            ]
        );
    }
}
