//! Opening rings: socket, filter, memory, bind, fanout, in the order in which no frame is
//! delivered twice.
//!
//! A socket that is bound receives at once, and one that is not yet in its group receives
//! everything. So each is born with a filter that refuses every frame, is bound, joins, and only
//! then gets its real filter. Refused frames are not drops.

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::OnceLock;

use super::{FlowFilter, Ring, Trouble};
use crate::capture::bpf::{self, Maps, Program, Xdp};
use crate::capture::live::{Backend, Lacking, Notice, Options};
use crate::capture::netlink::{self, Link};
use crate::capture::sys::{self, Fanout, Geometry, Instruction, PacketRing};
use crate::capture::{CaptureError, Counters, classic, xdp};
use crate::frame::{LinkType, SourceId};

/// What the rings of one interface share; never written after they were opened, but for the
/// fanout's id.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) interface: String,
    pub(super) source: SourceId,
    pub(super) members: u16,
    pub(super) options: Options,
    pub(super) filter: Option<Vec<Instruction>>,
    /// The hash of the fanout group, when the kernel's own is not used.
    spread: Option<Program>,
    /// Chosen by the kernel when the first member joins. The first group after boot is 0.
    group: OnceLock<u16>,
}

/// Opens the rings of `interface`, one for each worker.
///
/// # Errors
/// When the interface does not exist, is of a kind that has no frames known here, or may not be
/// captured, or the filter does not compile.
pub fn open(
    interface: &str,
    source: SourceId,
    options: &Options,
    notices: &mut Vec<Notice>,
) -> Result<(Vec<Ring>, Backend), CaptureError> {
    let failed = |why: io::Error| CaptureError::Open { what: interface.into(), why: explain(&why) };
    let link = netlink::link(interface)
        .map_err(failed)?
        .ok_or_else(|| failed(io::Error::other("no such interface")))?;
    let link_type = link_type(&link).map_err(failed)?;
    let filter = match &options.filter {
        Some(text) => Some(classic::compile(interface, text)?),
        None => None,
    };
    let members = options.workers.max(1);
    let mut lacking = |what, why: String| {
        notices.push(Notice { interface: interface.to_owned(), what, why });
    };
    let spread = match members {
        1 => None,
        _ => {
            spread(link_type).map_err(|why| lacking(Lacking::InnermostFanout, why.to_string())).ok()
        }
    };
    let driver = match options.backend {
        Backend::Xdp => {
            attach(&link, options).map_err(|why| lacking(Lacking::Xdp, why.to_string())).ok()
        }
        _ => None,
    };
    let setup = Arc::new(Setup {
        interface: interface.to_owned(),
        source,
        members,
        options: options.clone(),
        filter,
        spread,
        group: OnceLock::new(),
    });
    let mut rings = Vec::new();
    for place in 0..members {
        let ring = setup.open_ring(&link, place, notices).map_err(failed)?;
        rings.push(Ring {
            setup: Arc::clone(&setup),
            place,
            packets: Some(ring),
            link: link_type,
            number: 0,
            counters: Counters::default(),
            interface_dropped: link.receive_dropped,
            trouble: Trouble::None,
            filter: None,
            maps: None,
            said: Vec::new(),
            notices: Vec::new(),
        });
    }
    let backend = match driver {
        Some((xdp, maps)) => {
            for ring in &mut rings {
                ring.maps = Some(maps.try_clone().map_err(failed)?);
            }
            rings[0].filter = Some(FlowFilter::Driver(Box::new(xdp)));
            Backend::Xdp
        }
        None if options.backend == Backend::Ring => Backend::Ring,
        None => match filter_sockets(&setup, link_type, &mut rings) {
            Ok(()) => Backend::Auto,
            Err(why) => {
                let what = Lacking::KernelFilter;
                notices.push(Notice { interface: interface.into(), what, why });
                Backend::Ring
            }
        },
    };
    // All have joined: let the frames in.
    for ring in &rings {
        if let Some(packets) = &ring.packets {
            ring.open_gate(packets.as_fd()).map_err(failed)?;
        }
    }
    Ok((rings, backend))
}

/// The hash of the fanout group.
fn spread(link: LinkType) -> io::Result<Program> {
    match link {
        LinkType::ETHERNET => Program::fanout(),
        _ => Err(io::Error::other("it is not an Ethernet interface")),
    }
}

/// Attaches the flow filter in the driver of `link`, if that serves nothing else.
fn attach(link: &Link, options: &Options) -> io::Result<(Xdp, Maps)> {
    let all = netlink::links()?;
    let link = all.iter().find(|other| other.index == link.index).unwrap_or(link);
    xdp::admit(link, &all).map_err(io::Error::other)?;
    Xdp::attach(link.index, &flow_filter(options))
}

/// Gives each ring a flow filter of its own, or none of them one.
fn filter_sockets(setup: &Setup, link: LinkType, rings: &mut [Ring]) -> Result<(), String> {
    if link != LinkType::ETHERNET {
        return Err("it is not an Ethernet interface".to_owned());
    }
    if setup.filter.is_some() {
        return Err("the filter expression takes its place".to_owned());
    }
    let made: io::Result<Vec<_>> =
        rings.iter().map(|_| Program::filter(&flow_filter(&setup.options))).collect();
    let made = made.map_err(|why| why.to_string())?;
    for (ring, (program, maps)) in rings.iter_mut().zip(made) {
        ring.filter = Some(FlowFilter::Socket(Box::new(program)));
        ring.maps = Some(maps);
    }
    Ok(())
}

fn flow_filter(options: &Options) -> bpf::Setup {
    let Options { kernel_flows: flows, tunnel_ports, sampled, .. } = options;
    bpf::Setup { flows: *flows, udp_ports: tunnel_ports.clone(), sampled: *sampled }
}

impl Setup {
    /// A ring in its fanout group, with the gate still closed.
    pub(super) fn open_ring(
        &self,
        link: &Link,
        place: u16,
        notices: &mut Vec<Notice>,
    ) -> io::Result<PacketRing> {
        let options = &self.options;
        let mut lacking = |what, why: &io::Error| {
            let notice = Notice { interface: self.interface.clone(), what, why: why.to_string() };
            if !notices.contains(&notice) {
                notices.push(notice);
            }
        };

        let socket = sys::packet_socket()?;
        let fd = socket.as_fd();
        sys::attach_classic(fd, &[Instruction::REFUSE])?;
        // The loopback interface shows every frame twice, once each way.
        if (options.ignore_outgoing || link.flags & Link::LOOPBACK != 0)
            && let Err(why) = sys::ignore_outgoing(fd)
        {
            lacking(Lacking::IgnoreOutgoing, &why);
        }
        if options.hardware_time
            && let Err(why) = sys::enable_hardware_time(fd, &self.interface)
                .and_then(|()| sys::prefer_hardware_time(fd))
        {
            lacking(Lacking::HardwareTime, &why);
        }
        let geometry = geometry(options.ring_bytes, options.retire);
        let ring = match options.cpu(place).map(Visit::to).transpose() {
            Ok(_visit) => PacketRing::new(socket, geometry)?,
            Err(why) => {
                lacking(Lacking::Placement, &why);
                PacketRing::new(socket, geometry)?
            }
        };
        let fd = ring.as_fd();
        sys::bind(fd, link.index)?;
        if options.promiscuous {
            sys::join_promiscuous(fd, link.index)?;
        }
        if self.members > 1 {
            self.join(fd)?;
        }
        Ok(ring)
    }

    fn join(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let fanout = match &self.spread {
            Some(_) => Fanout::Program,
            None => Fanout::KernelHash,
        };
        if let Some(&id) = self.group.get() {
            sys::join_fanout(socket, id, fanout)?;
        } else {
            let id = sys::found_fanout(socket, fanout)?;
            self.group.get_or_init(|| id);
        }
        match &self.spread {
            Some(program) => sys::set_fanout_program(socket, program.fd()?),
            None => Ok(()),
        }
    }
}

/// A stay of this thread on one CPU, so that memory comes from that CPU's node.
struct Visit {
    home: rustix::thread::CpuSet,
}

impl Visit {
    fn to(cpu: usize) -> io::Result<Self> {
        let home = rustix::thread::sched_getaffinity(None)?;
        pin(cpu)?;
        Ok(Self { home })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // What was allowed a moment ago is allowed again, or the thread stays where it is.
        let _ = rustix::thread::sched_setaffinity(None, &self.home);
    }
}

/// Keeps the calling thread on one CPU.
///
/// # Errors
/// When there is no such CPU, or this process may not use it.
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Blocks of 1 MiB: large enough that a block is a long walk, small enough that a short ring has
/// several. A frame may be as long as a block, which is more than any offload makes.
fn geometry(ring_bytes: u64, retire: Duration) -> Geometry {
    const BLOCK: u32 = 1 << 20;
    const FEWEST: u64 = 4;
    /// The kernel counts frames of a ring in 32 bits.
    const MOST: u64 = 64 * 1024;
    let blocks = (ring_bytes / u64::from(BLOCK)).clamp(FEWEST, MOST);
    Geometry {
        block: BLOCK,
        blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
        retire: u32::try_from(retire.as_millis()).unwrap_or(u32::MAX).max(1),
    }
}

/// Is this an interface of a kind that a ring can be opened on?
pub(in crate::capture) fn can_open(interface: &str) -> bool {
    matches!(netlink::link(interface), Ok(Some(link)) if link_type(&link).is_ok())
}

/// How the interface's frames begin.
pub(in crate::capture) fn link_type(link: &Link) -> io::Result<LinkType> {
    match link.hardware {
        // Ethernet, and the loopback interface, which pretends to be.
        1 | 772 => Ok(LinkType::ETHERNET),
        801 => Ok(LinkType::IEEE802_11),
        803 => Ok(LinkType::IEEE802_11_RADIOTAP),
        // ARPHRD_RAWIP, and ARPHRD_NONE as tun and WireGuard have it.
        519 | 0xfffe => Ok(LinkType::RAW),
        other => Err(io::Error::other(format!("hardware type {other} needs libpcap"))),
    }
}

/// An error of opening, with what to do about it.
fn explain(why: &io::Error) -> String {
    match why.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            format!(
                "{why}; capturing needs CAP_NET_RAW (and in-kernel filters CAP_BPF and CAP_PERFMON)"
            )
        }
        Some(libc::ENOMEM) => format!("{why}; a smaller ring needs less memory"),
        _ => why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_stays_inside_its_budget() {
        let ten = Duration::from_millis(10);
        for bytes in [4 << 20, 5_000_000, 64 << 20, 1 << 30, 1_u64 << 36] {
            let size = geometry(bytes, ten);
            assert!(u64::from(size.block) * u64::from(size.blocks) <= bytes);
            assert_eq!(size.retire, 10);
        }
        assert_eq!(geometry(0, Duration::ZERO).blocks, 4, "the fewest that work");
        assert_eq!(geometry(0, Duration::ZERO).retire, 1, "zero would mean the kernel's choice");
    }

    #[test]
    fn link_types_without_frames_are_refused() {
        let of = |hardware| link_type(&Link { hardware, ..Link::default() });
        assert_eq!(of(1).unwrap(), LinkType::ETHERNET);
        assert_eq!(of(0xfffe).unwrap(), LinkType::RAW);
        assert!(of(512).unwrap_err().to_string().contains("libpcap"));
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error() {
        assert!(pin(usize::MAX).is_err());
    }
}
