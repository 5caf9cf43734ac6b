//! The fence: every `unsafe` of the crate is in this file and the one in its folder.
//!
//! Small safe functions over file descriptors, and two types that own memory shared with the
//! kernel: [`PacketRing`], and [`Mapping`] of a file. `rustix` does everything it knows (sockets, poll, affinity); what it
//! does not know (packet socket options, the ring, ethtool) is here.
//!
//! Ring crates were looked at first. `afpacket` (2021) and `af_packet` (GPL) know neither a hash
//! program for the fanout nor the VLAN tag beside the frame, and the latter collects every block
//! into a `Vec`; `netring` and `rscap` are far wider than the need (transmit, AF_XDP, async
//! runtimes) and young. A sensor needs the two hundred lines of ring below, argued line by line.

#![allow(unsafe_code)]

mod mapping;

use core::ffi::c_int;
use core::marker::PhantomData;
use core::mem::{offset_of, size_of};
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::{SOL_PACKET, SOL_SOCKET, socklen_t, tpacket_block_desc, tpacket3_hdr};

pub use self::mapping::{Leased, Mapping};
use crate::prefetch::{LINE, prefetch};

/// A packet socket that delivers nothing until it is bound.
pub fn packet_socket() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    // Protocol 0: without it the socket would receive from every interface before the bind.
    Ok(socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?)
}

/// Binds a packet socket to an interface, for every protocol; from now on it receives.
pub fn bind(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: c_ushort(libc::AF_PACKET),
        sll_protocol: c_ushort(libc::ETH_P_ALL).to_be(),
        sll_ifindex: interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: `address` is a live sockaddr_ll whose exact size is passed; the kernel only reads
    // it. The descriptor is borrowed, so it is open until we return.
    let rc = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length_of::<libc::sockaddr_ll>(),
        )
    };
    check(rc)
}

/// The index of the interface that a packet socket is bound to; `None` once that interface was
/// removed.
pub fn bound_interface(socket: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let mut address = libc::sockaddr_ll {
        sll_family: 0,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut length = length_of::<libc::sockaddr_ll>();
    // SAFETY: `address` and `length` are live and writable for the call, and `length` holds the
    // size of `address`, which the kernel does not exceed.
    let rc = unsafe {
        libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut length)
    };
    check(rc)?;
    Ok(u32::try_from(address.sll_ifindex).ok().filter(|index| *index != 0))
}

/// Makes the interface promiscuous for as long as the socket lives.
pub fn join_promiscuous(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: interface.cast_signed(),
        mr_type: c_ushort(libc::PACKET_MR_PROMISC),
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(socket, SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// How the members of a fanout group share the frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fanout {
    /// By the kernel's flow hash, which is symmetric but stops at the outer headers.
    KernelHash,
    /// By a program that [`set_fanout_program`] sets after the join.
    Program,
}

impl Fanout {
    // The kernel's defragmentation is not asked for: it would deliver datagrams that were never
    // on the wire, and it knows nothing of fragments inside tunnels.
    const fn number(self) -> u32 {
        match self {
            Self::KernelHash => libc::PACKET_FANOUT_HASH,
            Self::Program => libc::PACKET_FANOUT_EBPF,
        }
    }
}

/// Founds a fanout group with a bound packet socket as its first member. The kernel chooses an
/// id that no other program has in use.
pub fn found_fanout(socket: BorrowedFd<'_>, fanout: Fanout) -> io::Result<u16> {
    const UNIQUE_ID: u32 = 0x2000;
    set_option(socket, SOL_PACKET, libc::PACKET_FANOUT, &((fanout.number() | UNIQUE_ID) << 16))?;
    let mut group = 0_u32;
    let mut length = length_of::<u32>();
    // SAFETY: `group` and `length` are live and writable for the call, and `length` holds the
    // size of `group`, which the kernel does not exceed.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw mut group).cast(),
            &raw mut length,
        )
    };
    check(rc)?;
    Ok((group & 0xffff) as u16)
}

/// Joins a bound packet socket to fanout group `id`. A group belongs to one interface.
pub fn join_fanout(socket: BorrowedFd<'_>, id: u16, fanout: Fanout) -> io::Result<()> {
    set_option(socket, SOL_PACKET, libc::PACKET_FANOUT, &(u32::from(id) | fanout.number() << 16))
}

/// Gives a group of [`Fanout::Program`] the eBPF socket filter that picks the member.
pub fn set_fanout_program(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, SOL_PACKET, libc::PACKET_FANOUT_DATA, &program.as_raw_fd())
}

/// An instruction of classic BPF.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub operand: u32,
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());

impl Instruction {
    /// `ret #0`: keeps nothing. Frames it refuses are not counted as drops.
    pub const REFUSE: Self = Self { code: 0x06, jump_true: 0, jump_false: 0, operand: 0 };
}

/// Attaches a classic BPF filter in place of whatever filter the socket has.
pub fn attach_classic(socket: BorrowedFd<'_>, filter: &[Instruction]) -> io::Result<()> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(too_long)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // `program.filter` points at `program.len` instructions with the layout of `sock_filter`
    // that outlive the call; the kernel copies and checks them.
    set_option(socket, SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Attaches an eBPF socket filter in place of whatever filter the socket has.
pub fn attach_program(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, SOL_SOCKET, libc::SO_ATTACH_BPF, &program.as_raw_fd())
}

/// Takes the socket's filter away: every frame passes.
pub fn detach_filter(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32)
}

/// Leaves out frames that this machine sends through the interface.
pub fn ignore_outgoing(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)
}

/// Asks for raw hardware timestamps where the driver has them (it must be told separately, see
/// [`enable_hardware_time`]).
pub fn prefer_hardware_time(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, SOL_PACKET, libc::PACKET_TIMESTAMP, &libc::SOF_TIMESTAMPING_RAW_HARDWARE)
}

/// What a packet socket counted since the last call: reading resets it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SocketStatistics {
    /// Frames that did not fit.
    pub dropped: u32,
    /// Times the ring was found full.
    pub freezes: u32,
}

/// Reads and resets the counters of a socket whose ring is `TPACKET_V3`.
pub fn take_statistics(socket: BorrowedFd<'_>) -> io::Result<SocketStatistics> {
    let mut counts = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut length = length_of::<libc::tpacket_stats_v3>();
    // SAFETY: `counts` and `length` are live and writable for the call, and `length` holds the
    // size of `counts`, which the kernel does not exceed.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut counts).cast(),
            &raw mut length,
        )
    };
    check(rc)?;
    Ok(SocketStatistics { dropped: counts.tp_drops, freezes: counts.tp_freeze_q_cnt })
}

/// The size of a ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Geometry {
    /// Octets of a block: a power of two, a multiple of the page size.
    pub block: u32,
    /// How many blocks.
    pub blocks: u32,
    /// Milliseconds after which the kernel hands over a block that is not full.
    pub retire: u32,
}

/// A packet socket with its `TPACKET_V3` ring: blocks of frames that the kernel fills and this
/// process reads in place (`packet_mmap` in the kernel's documentation).
///
/// Invariants: `map` points at `geometry.block * geometry.blocks` octets mapped from `socket`,
/// readable and writable, unmapped only by `drop`; `next < geometry.blocks`.
#[derive(Debug)]
pub struct PacketRing {
    socket: OwnedFd,
    map: NonNull<u8>,
    geometry: Geometry,
    next: u32,
}

// SAFETY: the mapping belongs to this value alone and is not tied to a thread; what a shared
// borrow reads of it are the blocks' status words, atomically, and all else goes through `&mut self`
// or a `Block` that borrows it mutably.
unsafe impl Send for PacketRing {}

impl PacketRing {
    /// Gives `socket` a ring. The kernel takes the memory from the node of the calling thread.
    pub fn new(socket: OwnedFd, geometry: Geometry) -> io::Result<Self> {
        /// Only bounds how small a block may be; frames of version 3 have no fixed size.
        const FRAME: u32 = 2_048;

        let version = libc::tpacket_versions::TPACKET_V3 as c_int;
        set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_VERSION, &version)?;
        let request = libc::tpacket_req3 {
            tp_block_size: geometry.block,
            tp_block_nr: geometry.blocks,
            tp_frame_size: FRAME,
            tp_frame_nr: geometry.block / FRAME * geometry.blocks,
            tp_retire_blk_tov: geometry.retire,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping at an address the kernel chooses; `length` is what was asked for
        // by PACKET_RX_RING, and packet sockets refuse any other.
        let map = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                geometry.block as usize * geometry.blocks as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = NonNull::new(map.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { socket, map, geometry, next: 0 })
    }

    /// The next block, if the kernel has handed it over. Dropping it hands it back.
    pub fn next_block(&mut self) -> Option<Block<'_>> {
        let offset = self.next as usize * self.geometry.block as usize;
        // SAFETY: `next < blocks`, so the block lies inside the mapping.
        let start = unsafe { self.map.add(offset) };
        // SAFETY: a block of the mapping, which is not unmapped while it is borrowed here.
        let status = unsafe { block_status(start) };
        // Acquire pairs with the kernel's write barrier: the block's contents come before it.
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let at = offset_of!(tpacket_block_desc, hdr);
        // SAFETY: the block is at least one page, so its descriptor lies inside it; the kernel
        // aligns blocks to pages and does not write a block that belongs to the user.
        let header = unsafe { start.add(at).cast::<libc::tpacket_hdr_v1>().read() };
        Some(Block {
            start,
            size: self.geometry.block as usize,
            frames: header.num_pkts,
            first: header.offset_to_first_pkt as usize,
            next: &mut self.next,
            blocks: self.geometry.blocks,
        })
    }

    /// The share of blocks that wait to be read, in hundredths.
    pub fn fill(&self) -> u8 {
        let waiting = (0..self.geometry.blocks)
            .filter(|index| {
                // SAFETY: `index < blocks`, so the block lies inside the mapping.
                let start = unsafe { self.map.add(*index as usize * self.geometry.block as usize) };
                // SAFETY: a block of the mapping, which is not unmapped while it is borrowed here.
                let status = unsafe { block_status(start) };
                status.load(Ordering::Relaxed) & libc::TP_STATUS_USER != 0
            })
            .count();
        u8::try_from(waiting * 100 / self.geometry.blocks.max(1) as usize).unwrap_or(100)
    }
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        let length = self.geometry.block as usize * self.geometry.blocks as usize;
        // SAFETY: exactly the mapping made in `new`; no `Block` is alive, for it would borrow us.
        unsafe { libc::munmap(self.map.as_ptr().cast(), length) };
    }
}

/// A block that belongs to this process until it is dropped.
#[derive(Debug)]
pub struct Block<'r> {
    start: NonNull<u8>,
    size: usize,
    frames: u32,
    first: usize,
    next: &'r mut u32,
    blocks: u32,
}

impl Block<'_> {
    /// Its frames, in the order of their arrival.
    pub fn frames(&self) -> RingFrames<'_> {
        let mut frames = RingFrames {
            start: self.start,
            size: self.size,
            at: self.first,
            left: self.frames,
            ahead: self.first,
            block: PhantomData,
        };
        frames.look_ahead();
        frames
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        // Release: everything read from the block was read before the kernel may write again.
        // SAFETY: `start` is that of a block of the ring, whose mapping this borrows.
        let status = unsafe { block_status(self.start) };
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        *self.next += 1;
        if *self.next == self.blocks {
            *self.next = 0;
        }
    }
}

/// Iterates over the frames of a [`Block`].
#[derive(Clone, Debug)]
pub struct RingFrames<'b> {
    start: NonNull<u8>,
    size: usize,
    at: usize,
    left: u32,
    /// Where the frame lies that was asked of memory last.
    ahead: usize,
    block: PhantomData<&'b [u8]>,
}

/// A frame in a ring.
#[derive(Clone, Copy, Debug)]
pub struct RingFrame<'b> {
    pub data: &'b [u8],
    pub wire_len: u32,
    pub seconds: u32,
    pub nanos: u32,
    /// The TCI of the 802.1Q or 802.1ad tag that was taken out of the octets.
    pub tci: Option<u16>,
}

impl<'b> Iterator for RingFrames<'b> {
    type Item = RingFrame<'b>;

    #[inline]
    fn next(&mut self) -> Option<RingFrame<'b>> {
        if self.left == 0 || self.at + size_of::<tpacket3_hdr>() > self.size {
            return None;
        }
        // SAFETY: the header lies inside the block by the check above, and the kernel does not
        // write a block that belongs to the user. Its alignment is not relied on.
        let header = unsafe { self.start.add(self.at).cast::<tpacket3_hdr>().read_unaligned() };
        let from = self.at + usize::from(header.tp_mac);
        let captured = header.tp_snaplen as usize;
        if from + captured > self.size {
            return None;
        }
        // SAFETY: `from + captured <= size`, so the octets lie inside the block, which outlives
        // `'b` and which nobody writes before it is handed back.
        let data = unsafe { slice::from_raw_parts(self.start.add(from).as_ptr(), captured) };
        self.left -= 1;
        self.look_ahead();
        self.at += header.tp_next_offset as usize;
        let tagged = header.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
        Some(RingFrame {
            data,
            wire_len: header.tp_len,
            seconds: header.tp_sec,
            nanos: header.tp_nsec,
            tci: tagged.then_some((header.hv1.tp_vlan_tci & 0xffff) as u16),
        })
    }
}

impl RingFrames<'_> {
    /// Asks memory for one frame more: its header and the first octets of its packet, which another
    /// core has just written. It stays two frames ahead of the one that is looked at, so that the
    /// header which says where the next one lies has come when it is read here.
    #[inline]
    fn look_ahead(&mut self) {
        if self.ahead + size_of::<tpacket3_hdr>() > self.size {
            return;
        }
        // SAFETY: the header lies inside the block by the check above, and the kernel does not
        // write a block that belongs to the user. Its alignment is not relied on.
        let header = unsafe { self.start.add(self.ahead).cast::<tpacket3_hdr>().read_unaligned() };
        self.ahead += header.tp_next_offset as usize;
        let Some(left) = self.size.checked_sub(self.ahead) else { return };
        // SAFETY: these octets lie inside the block.
        let frame = unsafe { slice::from_raw_parts(self.start.add(self.ahead).as_ptr(), left) };
        frame.iter().step_by(LINE).take(3).for_each(prefetch);
    }
}

/// The word that says whom a block belongs to.
///
/// # Safety
/// `start` is that of a block in a mapping that lives as long as the reference is kept.
unsafe fn block_status<'r>(start: NonNull<u8>) -> &'r AtomicU32 {
    let at = offset_of!(tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
    // SAFETY: the word lies in the block, which is at least one page and aligned to pages, so it
    // is aligned; both sides only touch it atomically. That the mapping lives is the caller's word.
    unsafe { start.add(at).cast::<AtomicU32>().as_ref() }
}

/// The features of `interface` that are in force, by name, as `rx-gro`: their numbers differ
/// between kernels (`struct ethtool_gfeatures` in `linux/ethtool.h`). `socket` is any socket.
pub fn ethtool_features(socket: BorrowedFd<'_>, interface: &str) -> io::Result<Vec<String>> {
    const GET_STRINGS: u32 = 0x1b;
    const GET_FEATURES: u32 = 0x3a;
    /// `ETH_SS_FEATURES`.
    const NAMES_OF_FEATURES: u32 = 4;
    /// Room for four times 32 features; Linux 6.18 has 64.
    const BLOCKS: u32 = 4;
    /// `ETH_GSTRING_LEN`, in words.
    const NAME: usize = 32 / 4;

    // The command, how many blocks there is room for, and the blocks.
    let mut features = [0_u32; 2 + BLOCKS as usize * 4];
    features[0] = GET_FEATURES;
    features[1] = BLOCKS;
    // SAFETY: `struct ethtool_gfeatures` with room for as many blocks as it says.
    unsafe { ethtool(socket, interface, features.as_mut_bytes()) }?;
    // The kernel has said how many blocks hold all its features. It writes the names of all of
    // them, whether or not there is room.
    if features[1] > BLOCKS {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // The command, which strings, how many they are, and the strings.
    let mut names = [0_u32; 3 + BLOCKS as usize * 32 * NAME];
    names[0] = GET_STRINGS;
    names[1] = NAMES_OF_FEATURES;
    // SAFETY: `struct ethtool_gstrings` with room for the names of all features that there are.
    unsafe { ethtool(socket, interface, names.as_mut_bytes()) }?;
    let in_force = features[2..].as_chunks::<4>().0.iter().flat_map(|block| {
        let [_available, _requested, active, _never_changed] = *block;
        (0..32).map(move |bit| active & (1 << bit) != 0)
    });
    let names = names[3..].as_chunks::<NAME>().0.iter().zip(in_force);
    Ok(names.filter(|(_, in_force)| *in_force).map(|(name, _)| text(name)).collect())
}

/// The driver of `interface`, as `ixgbe`.
pub fn ethtool_driver(socket: BorrowedFd<'_>, interface: &str) -> io::Result<String> {
    const GET_DRIVER_INFO: u32 = 0x03;
    /// `struct ethtool_drvinfo`: the command, then the driver's name in 32 octets, and more.
    const SIZE: usize = 196;
    let mut info = [0_u32; SIZE / 4];
    info[0] = GET_DRIVER_INFO;
    // SAFETY: all of `struct ethtool_drvinfo`.
    unsafe { ethtool(socket, interface, info.as_mut_bytes()) }?;
    Ok(text(&info[1..9]))
}

/// The octets of `words` as far as the first zero.
fn text(words: &[u32]) -> String {
    let octets: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let text = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Tells the driver to stamp every received frame.
pub fn enable_hardware_time(socket: BorrowedFd<'_>, interface: &str) -> io::Result<()> {
    const RECEIVE_ALL: u32 = 1;
    // `struct hwtstamp_config`: flags, transmit type (off), receive filter.
    let mut config = [0_u32, 0, RECEIVE_ALL];
    // SAFETY: all of `struct hwtstamp_config`.
    unsafe { interface_request(socket, interface, libc::SIOCSHWTSTAMP, config.as_mut_bytes()) }
}

/// # Safety
/// `request` is as long as what its command reads and writes.
unsafe fn ethtool(socket: BorrowedFd<'_>, interface: &str, request: &mut [u8]) -> io::Result<()> {
    // SAFETY: the caller's word is that which is asked for.
    unsafe { interface_request(socket, interface, libc::SIOCETHTOOL, request) }
}

/// An ioctl on `struct ifreq` whose data is a pointer.
///
/// # Safety
/// `data` is as long as what `command` reads and writes.
unsafe fn interface_request(
    socket: BorrowedFd<'_>,
    interface: &str,
    command: libc::c_ulong,
    data: &mut [u8],
) -> io::Result<()> {
    // SAFETY: `ifreq` is a C struct of integers, arrays and a union of such; zero is a value.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    // One octet stays zero, to end the name.
    if interface.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    // SAFETY: `request` is live, its name ends in zero, and its data points at a live buffer
    // that is exclusively ours for the call, and by the caller's word as long as it takes.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), command as _, &raw mut request) };
    check(rc)
}

/// A slice of words as octets, for requests that are read and written as octets.
trait AsMutBytes {
    fn as_mut_bytes(&mut self) -> &mut [u8];
}

impl<const N: usize> AsMutBytes for [u32; N] {
    fn as_mut_bytes(&mut self) -> &mut [u8] {
        // SAFETY: the words are live and exclusively borrowed, have no padding, and any octets
        // written into them are words.
        unsafe { slice::from_raw_parts_mut(self.as_mut_ptr().cast(), size_of::<Self>()) }
    }
}

/// Sets a socket option from a value whose type the kernel expects for `name`.
fn set_option<T>(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is live and aligned for the whole call, its exact size is passed, and the
    // kernel only reads it. The descriptor is borrowed, so it is open until we return.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            core::ptr::from_ref(value).cast(),
            length_of::<T>(),
        )
    };
    check(rc)
}

fn check(rc: c_int) -> io::Result<()> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The size of a small C struct.
#[expect(clippy::cast_possible_truncation, reason = "structs of tens of octets")]
const fn length_of<T>() -> socklen_t {
    size_of::<T>() as socklen_t
}

/// Constants that the C headers type as `int` and the structs as `unsigned short`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small constants")]
const fn c_ushort(constant: c_int) -> u16 {
    constant as u16
}
