//! A network of its own for a test: a namespace with one veth pair, removed when the test ends.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::net::SendFlags;
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, sched_getaffinity, sched_getcpu,
    sched_setaffinity,
};
use vendorwatch::capture::live::{Live, Opened, Options, open_live};
use vendorwatch::capture::ring::pin;
use vendorwatch::capture::{Batch, Source, netlink, sys};
use vendorwatch::frame::{Frame, LinkType, SourceId};
use vendorwatch::time::Timestamp;

/// A namespace that holds `wire` and `span`, the two ends of a cable. The thread that made it is
/// inside.
pub(super) struct Lab {
    name: String,
}

impl Lab {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let lab = Self { name: format!("ring{}-{number}", std::process::id()) };
        ip(&["netns", "add", &lab.name]);
        let namespace = File::open(format!("/run/netns/{}", lab.name)).unwrap();
        // This thread only; what it opens and the commands it runs belong to the namespace.
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        // No address, no neighbours, no multicast reports: what is sent is all there is.
        for which in ["all", "default"] {
            let setting = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
            if let Err(error) = std::fs::write(&setting, "1") {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{setting}");
            }
        }
        Self::plug();
        lab
    }

    /// Makes the cable.
    pub(super) fn plug() {
        ip(&["link", "add", "wire", "type", "veth", "peer", "name", "span"]);
        for end in ["wire", "span"] {
            ip(&["link", "set", end, "addrgenmode", "none"]);
            ip(&["link", "set", end, "up"]);
        }
    }

    /// Takes the cable away.
    pub(super) fn unplug() {
        ip(&["link", "delete", "wire"]);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Runs `ip` and wants it to succeed.
pub(super) fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("the command ip (iproute2)");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {complaint}", words.join(" "));
}

/// Puts frames on an interface.
pub(super) struct Sender(OwnedFd);

impl Sender {
    pub(super) fn on(interface: &str) -> Self {
        let index = netlink::link(interface).unwrap().expect("an interface to send on").index;
        let socket = sys::packet_socket().unwrap();
        sys::bind(socket.as_fd(), index).unwrap();
        Self(socket)
    }

    pub(super) fn send(&self, frame: &[u8]) {
        let sent = rustix::net::send(&self.0, frame, SendFlags::empty()).unwrap();
        assert_eq!(sent, frame.len());
    }
}

/// What a receiver keeps of a frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Kept {
    pub(super) data: Vec<u8>,
    pub(super) wire_len: u32,
    pub(super) at: u64,
    pub(super) number: u64,
    pub(super) vlan: Option<u16>,
}

impl Kept {
    /// As the worker of the only interface gets it.
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame {
            data: &self.data,
            wire_len: self.wire_len,
            at: Timestamp::from_nanos(self.at),
            link: LinkType::ETHERNET,
            source: SourceId::default(),
            number: self.number,
            vlan: self.vlan,
        }
    }
}

pub(super) fn open(options: &Options) -> Opened {
    open_live("span", SourceId(0), options).unwrap()
}

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until the driver has no program: one goes with its owner, or with the copy of it that a
/// command of another test holds while it is being started, and filters until then.
pub(super) fn wait_for_free_driver() {
    let end = Instant::now() + PATIENCE;
    while netlink::link("span").unwrap().is_some_and(|link| link.xdp_program.is_some()) {
        assert!(Instant::now() < end, "the driver still has a program");
        std::thread::yield_now();
    }
}

/// Takes frames from `source` until there are `wanted`, or none came for the whole patience.
pub(super) fn receive(source: &mut Live, wanted: usize) -> Vec<Kept> {
    let mut kept = Vec::new();
    let end = Instant::now() + PATIENCE;
    while kept.len() < wanted && Instant::now() < end {
        kept.extend(take(source, Duration::from_millis(100)));
    }
    kept
}

/// Sends frames, not too many at once; what is received is each of them once, whole and in order.
pub(super) fn pass(sender: &Sender, source: &mut Live, frames: &[Vec<u8>]) -> Vec<Kept> {
    // The kernel keeps the order of what one processor sends: each has a queue of its own.
    let home = sched_getaffinity(None).unwrap();
    pin(sched_getcpu()).unwrap();
    let mut got = Vec::new();
    for part in frames.chunks(500) {
        for frame in part {
            sender.send(frame);
        }
        got.extend(receive(source, part.len()));
    }
    sched_setaffinity(None, &home).unwrap();
    assert_eq!(got.len(), frames.len());
    for (place, (got, sent)) in got.iter().zip(frames).enumerate() {
        assert_eq!(&got.data, sent, "frame {place}");
        assert_eq!(got.number, place as u64 + 1);
    }
    assert!(got.is_sorted_by_key(|kept| kept.at), "times go forward");
    got
}

/// What is there within `patience`.
pub(super) fn take(source: &mut Live, patience: Duration) -> Vec<Kept> {
    let mut kept = Vec::new();
    while let Batch::Frames(_) = source
        .batch(patience, &mut |frame| {
            kept.push(Kept {
                data: frame.data.to_vec(),
                wire_len: frame.wire_len,
                at: frame.at.as_nanos(),
                number: frame.number,
                vlan: frame.vlan,
            });
        })
        .unwrap()
    {}
    kept
}
