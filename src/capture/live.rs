//! Opening interfaces: which back end, how it is set up, and what had to be done without.

use core::fmt;
use core::time::Duration;

use crate::capture::bpf::Exchange;
#[cfg(feature = "libpcap")]
use crate::capture::libpcap::{self, Libpcap};
use crate::capture::ring::{self, Ring};
use crate::capture::{Batch, CaptureError, Counters, Source};
use crate::frame::{Frame, SourceId};
use crate::net::{Pair, Path, Wish};

/// What delivers the frames of an interface.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Backend {
    /// The ring with the in-kernel filter on its socket; what cannot be had is left out, with a
    /// [`Notice`].
    #[default]
    Auto,
    /// libpcap: portable, slower, one worker an interface.
    Libpcap,
    /// The packet ring, every frame.
    Ring,
    /// The in-kernel filter in the driver, before the kernel builds a packet, and the ring behind
    /// it. Only on an interface that serves nothing else.
    Xdp,
}

impl Backend {
    /// The word of the command line and the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Libpcap => "libpcap",
            Self::Ring => "ring",
            Self::Xdp => "xdp",
        }
    }

    /// Do frames stay in the kernel?
    #[must_use]
    pub const fn filters(self) -> bool {
        matches!(self, Self::Auto | Self::Xdp)
    }

    /// The one that does the least in the kernel, so that a sensor with several interfaces does not
    /// seem better off than the worst of them is.
    #[must_use]
    pub fn weakest(of: &[Self]) -> Option<Self> {
        [Self::Libpcap, Self::Ring, Self::Auto, Self::Xdp].into_iter().find(|one| of.contains(one))
    }
}

/// How interfaces are opened.
#[derive(Clone, Debug)]
pub struct Options {
    pub backend: Backend,
    /// Rings for each interface; each is for a worker of its own.
    pub workers: u16,
    /// Octets of each ring. Rounded down to whole blocks.
    pub ring_bytes: u64,
    /// After how long a block that is not full is handed over: the delay at low load.
    pub retire: Duration,
    /// A filter in the syntax of tcpdump, applied in the kernel.
    pub filter: Option<String>,
    /// See frames for other hosts, which is what a mirror is. Off only beside another program
    /// that has the interface promiscuous anyway.
    pub promiscuous: bool,
    /// Leave out what this machine sends through the interface. Off, so that a host that is
    /// watched on its own interface is seen whole; a mirror port sends next to nothing.
    pub ignore_outgoing: bool,
    /// Ask the card for its own timestamps, in the card's own epoch: only where its clock is
    /// kept on time, and the same for every interface.
    pub hardware_time: bool,
    /// Look at the ring for this long before sleeping, and no longer than the caller's patience:
    /// lower delay for processor time.
    pub busy_poll: Option<Duration>,
    /// The CPUs of the workers of all interfaces, in turn; a ring's memory is taken from the node
    /// of its worker's CPU. The threads are pinned by whoever starts them.
    pub cpus: Vec<usize>,
    /// Workers of the interfaces before this one, whose turn at the CPUs comes first.
    pub workers_before: usize,
    /// Flow states that an in-kernel filter remembers for each ring (or, with XDP, interface).
    pub kernel_flows: u32,
    /// UDP ports of tunnels besides the usual ones: an in-kernel filter lets them pass whole.
    pub tunnel_ports: Vec<u16>,
    /// Which TCP flows an in-kernel filter lets pass whole, as
    /// [`sample_mark`](crate::pipeline::sample_mark) has it.
    pub sampled: Option<u8>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backend: Backend::Auto,
            workers: 1,
            ring_bytes: 64 << 20,
            retire: Duration::from_millis(20),
            filter: None,
            promiscuous: true,
            ignore_outgoing: false,
            hardware_time: false,
            busy_poll: None,
            cpus: Vec::new(),
            workers_before: 0,
            kernel_flows: 65_536,
            tunnel_ports: Vec::new(),
            sampled: None,
        }
    }
}

impl Options {
    /// The CPU of the interface's worker at `place`.
    #[must_use]
    pub fn cpu(&self, place: u16) -> Option<usize> {
        self.cpus.iter().cycle().nth(self.workers_before + usize::from(place)).copied()
    }
}

/// Something that an operator should read once: what was asked for and could not be had, and why.
/// Sources do not log; whoever opened them does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    pub interface: String,
    pub what: Lacking,
    pub why: String,
}

/// What a [`Notice`] is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Lacking {
    /// The packet ring; libpcap is used.
    Ring,
    /// The XDP program; the filter on the ring's socket does its work.
    Xdp,
    /// The in-kernel filter; every frame is delivered.
    KernelFilter,
    /// Frames are spread by the outer flow: directions of tunnelled flows may part.
    InnermostFanout,
    /// Frames carry the kernel's time.
    HardwareTime,
    BusyPoll,
    /// A worker's buffer stays where the system puts it.
    Placement,
    /// Several workers: there is one.
    Workers,
    /// Outgoing frames are delivered too.
    IgnoreOutgoing,
    /// Of some pairs, the volume is that of the frames delivered alone.
    KernelVolume,
    /// How many frames stay in the kernel is what it was when that could last be asked.
    KernelCounts,
    /// An interface that went away is back, and cannot be opened.
    Capture,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Lacking::Ring => "no packet ring, capturing with libpcap",
            Lacking::Xdp => "no XDP, filtering on the ring's socket",
            Lacking::KernelFilter => "no in-kernel filter, every frame is delivered",
            Lacking::InnermostFanout => {
                "frames are spread by the outer flow, so tunnelled flows may be split"
            }
            Lacking::HardwareTime => "no hardware timestamps, the kernel's are used",
            Lacking::BusyPoll => "no busy polling",
            Lacking::Placement => "the buffer may be far from its worker's processor",
            Lacking::Workers => "one worker only",
            Lacking::IgnoreOutgoing => "outgoing frames are delivered too",
            Lacking::KernelVolume => {
                "octets that stay in the kernel are not counted for all vendors"
            }
            Lacking::KernelCounts => "frames that stay in the kernel are not counted any more",
            Lacking::Capture => "nothing is captured, and every few seconds it is tried again",
        };
        write!(f, "interface {}: {what}: {}", self.interface, self.why)
    }
}

/// A live source.
#[derive(Debug)]
pub enum Live {
    Ring(Box<Ring>),
    #[cfg(feature = "libpcap")]
    Libpcap(Box<Libpcap>),
}

impl Source for Live {
    #[inline]
    fn batch(
        &mut self,
        patience: Duration,
        each: &mut impl FnMut(&Frame<'_>),
    ) -> Result<Batch, CaptureError> {
        match self {
            Self::Ring(ring) => ring.batch(patience, each),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.batch(patience, each),
        }
    }

    fn counters(&mut self) -> Counters {
        match self {
            Self::Ring(ring) => ring.counters(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.counters(),
        }
    }

    fn wish(&mut self, path: &Path, wish: Wish) {
        match self {
            Self::Ring(ring) => ring.wish(path, wish),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.wish(path, wish),
        }
    }

    fn leaves_out(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.leaves_out(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.leaves_out(),
        }
    }

    fn watch(&mut self, pair: Pair) {
        match self {
            Self::Ring(ring) => ring.watch(pair),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.watch(pair),
        }
    }

    fn unwatch(&mut self, pair: Pair) {
        match self {
            Self::Ring(ring) => ring.unwatch(pair),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.unwatch(pair),
        }
    }

    fn exchanges(&mut self) -> Vec<Exchange> {
        match self {
            Self::Ring(ring) => ring.exchanges(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.exchanges(),
        }
    }

    fn fill(&self) -> u8 {
        match self {
            Self::Ring(ring) => ring.fill(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.fill(),
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.is_open(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.is_open(),
        }
    }

    fn notices(&mut self) -> Vec<Notice> {
        match self {
            Self::Ring(ring) => ring.notices(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(handle) => handle.notices(),
        }
    }
}

/// The sources of one interface, one for each worker, and what had to be done without.
#[derive(Debug)]
pub struct Opened {
    pub sources: Vec<Live>,
    /// What really delivers the frames: [`Backend::Auto`] is the ring with its in-kernel filter.
    pub backend: Backend,
    pub notices: Vec<Notice>,
}

/// Opens `interface`. Its sources share `source` and number their frames so that no two have
/// the same number.
///
/// # Errors
/// When the interface does not exist or may not be captured, or the filter does not compile.
pub fn open_live(
    interface: &str,
    source: SourceId,
    options: &Options,
) -> Result<Opened, CaptureError> {
    match options.backend {
        Backend::Libpcap => return through_libpcap(interface, source, options),
        // The ring knows a few kinds of interfaces, and no `any`.
        Backend::Auto if !ring::can_open(interface) => {
            if let Ok(mut opened) = through_libpcap(interface, source, options) {
                let why = "not a kind of interface that it knows".to_owned();
                let notice = Notice { interface: interface.to_owned(), what: Lacking::Ring, why };
                opened.notices.insert(0, notice);
                return Ok(opened);
            }
        }
        Backend::Auto | Backend::Ring | Backend::Xdp => {}
    }
    let mut notices = Vec::new();
    let (rings, backend) = ring::open(interface, source, options, &mut notices)?;
    let sources = rings.into_iter().map(|ring| Live::Ring(Box::new(ring))).collect();
    Ok(Opened { sources, backend, notices })
}

#[cfg(feature = "libpcap")]
fn through_libpcap(
    interface: &str,
    source: SourceId,
    options: &Options,
) -> Result<Opened, CaptureError> {
    let handle = Libpcap::open(interface, source, options)?;
    Ok(Opened {
        sources: vec![Live::Libpcap(Box::new(handle))],
        backend: Backend::Libpcap,
        notices: libpcap::lacking(interface, options),
    })
}

#[cfg(not(feature = "libpcap"))]
fn through_libpcap(
    interface: &str,
    _source: SourceId,
    _options: &Options,
) -> Result<Opened, CaptureError> {
    let why = "this build has no libpcap (feature `libpcap`)".to_owned();
    Err(CaptureError::Open { what: interface.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_of_all_interfaces_take_turns_at_the_processors() {
        let mut options = Options { cpus: vec![4, 6, 8], ..Options::default() };
        let mut taken = Vec::new();
        for workers in [2, 1, 4] {
            options.workers_before = taken.len();
            taken.extend((0..workers).map(|place| options.cpu(place)));
        }
        assert_eq!(taken, [4, 6, 8, 4, 6, 8, 4].map(Some));
        assert_eq!(Options { workers_before: 5, ..Options::default() }.cpu(0), None);
    }

    #[test]
    fn the_order_of_interfaces_does_not_matter_to_what_is_said_of_them() {
        let of = [Backend::Xdp, Backend::Ring, Backend::Auto];
        let turned = [Backend::Auto, Backend::Xdp, Backend::Ring];
        assert_eq!(Backend::weakest(&of), Some(Backend::Ring));
        assert_eq!(Backend::weakest(&turned), Some(Backend::Ring));
        assert_eq!(Backend::weakest(&[]), None);
    }
}
