//! The programs, loaded with `aya`. Keys and values are plain octets, laid out in
//! [`wire`].

use core::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::xdp::XdpLink;
use aya::programs::{SocketFilter, XdpFlags};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

use super::wire::{self, FlowKey};
use super::{Control, Exchange, NAME_PORTS, Setup, Skipped, Volume};
use crate::decode::TUNNEL_PORTS;
use crate::net::{Pair, Path, Wish};

const FANOUT: &[u8] = include_bytes_aligned!("../../../bpf/fanout.bpf.o");
const FILTER: &[u8] = include_bytes_aligned!("../../../bpf/filter.bpf.o");
const XDP: &[u8] = include_bytes_aligned!("../../../bpf/xdp.bpf.o");

/// A loaded socket filter: the flow filter, or the hash of a fanout group.
#[derive(Debug)]
pub struct Program {
    object: Ebpf,
    name: &'static str,
}

impl Program {
    /// The program that picks a member of a fanout group by the innermost flow.
    pub fn fanout() -> io::Result<Self> {
        Self::load(FANOUT, "vendorwatch_fanout", 1)
    }

    /// The flow filter for one packet socket, and its maps.
    pub fn filter(setup: &Setup) -> io::Result<(Self, Maps)> {
        let mut program = Self::load(FILTER, "vendorwatch_filter", setup.flows)?;
        let maps = Maps::take(&mut program.object, setup)?;
        Ok((program, maps))
    }

    /// What a socket is given.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        let program = self.object.program(self.name).ok_or(io::ErrorKind::NotFound)?;
        Ok(program.fd().map_err(told)?.as_fd())
    }

    fn load(object: &[u8], name: &'static str, flows: u32) -> io::Result<Self> {
        let mut object = load(object, flows)?;
        let program = object.program_mut(name).ok_or(io::ErrorKind::NotFound)?;
        let program: &mut SocketFilter = program.try_into().map_err(told)?;
        program.load().map_err(told)?;
        Ok(Self { object, name })
    }
}

/// The flow filter, attached to an interface's driver for as long as this value lives: the
/// kernel takes the program off when the link is closed, which it is when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct Xdp {
    object: Ebpf,
    link: Option<XdpLink>,
}

impl Xdp {
    /// Loads the program and attaches it in the driver.
    pub fn attach(interface: u32, setup: &Setup) -> io::Result<(Self, Maps)> {
        let mut object = load(XDP, setup.flows)?;
        // Before the maps are taken out: loading names them by their descriptors.
        program(&mut object)?.load().map_err(told)?;
        let maps = Maps::take(&mut object, setup)?;
        let mut xdp = Self { object, link: None };
        xdp.move_to(interface)?;
        Ok((xdp, maps))
    }

    /// Attaches to another interface: the one of the same name that was made anew.
    ///
    /// Only in the driver (after an skb exists, the socket filter is as good and needs less),
    /// and never in place of another program: a link does not replace what is there.
    pub fn move_to(&mut self, interface: u32) -> io::Result<()> {
        self.link = None;
        let program = program(&mut self.object)?;
        let id = program.attach_to_if_index(interface, XdpFlags::DRV_MODE).map_err(told)?;
        self.link = Some(program.take_link(id).map_err(told)?);
        Ok(())
    }
}

fn program(object: &mut Ebpf) -> io::Result<&mut aya::programs::Xdp> {
    let program = object.program_mut("vendorwatch_xdp").ok_or(io::ErrorKind::NotFound)?;
    program.try_into().map_err(told)
}

fn load(object: &[u8], flows: u32) -> io::Result<Ebpf> {
    EbpfLoader::new()
        .btf(None) // nothing is relocated against the kernel's types
        .set_max_entries("flows4", flows.max(1))
        .set_max_entries("flows6", (flows / 4).max(1))
        .load(object)
        .map_err(told)
}

/// The maps of a flow filter. Workers that share one filter have each a handle of their own.
pub struct Maps {
    handles: Arc<[(&'static str, OwnedFd)]>,
    flows4: HashMap<MapData, [u8; 12], [u8; wire::WINDOWS]>,
    flows6: HashMap<MapData, [u8; 36], [u8; wire::WINDOWS]>,
    skipped: PerCpuArray<MapData, [u8; 16]>,
    servers: Array<MapData, [u8; wire::BITS]>,
    /// What is in `servers`: all handles on the maps set bits in one place, or one would undo
    /// another's.
    bits: Arc<Mutex<Box<[u8; wire::BITS]>>>,
    exchanges: HashMap<MapData, [u8; 32], [u8; 32]>,
    /// The pairs whose volume this handle was asked to count: what was counted when that was last
    /// read, or none where the entry is another handle's, or there is no room.
    watched: std::collections::HashMap<Pair, Option<(Volume, Volume)>>,
}

impl fmt::Debug for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Maps").field(&self.handles).finish()
    }
}

/// The maps that are spoken to after the start.
const NAMES: [&str; 5] = ["flows4", "flows6", "skipped", "servers", "exchanges"];

/// The update succeeds only where the key is not there (`BPF_NOEXIST`), or only where it is
/// (`BPF_EXIST`).
const NEW: u64 = 1;
const EXISTING: u64 = 2;

impl Maps {
    fn take(object: &mut Ebpf, setup: &Setup) -> io::Result<Self> {
        let map = MapData::from_fd(handle(object, "settings")?).map_err(told)?;
        let mut map: Array<MapData, [u8; wire::SETTINGS]> =
            Map::Array(map).try_into().map_err(told)?;
        let mut settings = [0; wire::SETTINGS];
        for port in NAME_PORTS.iter().chain(&TUNNEL_PORTS).chain(&setup.udp_ports) {
            wire::set_port(&mut settings, *port);
        }
        // No ports mix to more than eight bits.
        let sampled = setup.sampled.map_or(u32::MAX, u32::from);
        settings[8192..].copy_from_slice(&sampled.to_ne_bytes());
        map.set(0, settings, 0).map_err(told)?;
        let handles: Result<Arc<[_]>, io::Error> =
            NAMES.into_iter().map(|name| Ok((name, handle(object, name)?))).collect();
        Self::open(handles?, Arc::new(Mutex::new(Box::new([0; wire::BITS]))))
    }

    /// Another handle on the same maps.
    pub fn try_clone(&self) -> io::Result<Self> {
        Self::open(Arc::clone(&self.handles), Arc::clone(&self.bits))
    }

    fn open(
        handles: Arc<[(&'static str, OwnedFd)]>,
        bits: Arc<Mutex<Box<[u8; wire::BITS]>>>,
    ) -> io::Result<Self> {
        let map = |name: &str| -> io::Result<MapData> {
            let (_, fd) =
                handles.iter().find(|(of, _)| *of == name).ok_or(io::ErrorKind::NotFound)?;
            MapData::from_fd(fd.try_clone()?).map_err(told)
        };
        Ok(Self {
            flows4: Map::LruHashMap(map("flows4")?).try_into().map_err(told)?,
            flows6: Map::LruHashMap(map("flows6")?).try_into().map_err(told)?,
            skipped: Map::PerCpuArray(map("skipped")?).try_into().map_err(told)?,
            servers: Map::Array(map("servers")?).try_into().map_err(told)?,
            exchanges: Map::HashMap(map("exchanges")?).try_into().map_err(told)?,
            bits,
            watched: std::collections::HashMap::new(),
            handles,
        })
    }

    /// Makes the entry of a pair, and then its server's bit: so a set bit finds its entry. `None`:
    /// it is there already, or there is no room.
    fn count(&mut self, pair: Pair) -> Option<(Volume, Volume)> {
        self.exchanges.insert(wire::conversation(pair), [0; 32], NEW).ok()?;
        let mut bits = self.bits.lock().unwrap_or_else(PoisonError::into_inner);
        wire::set_bit(&mut bits, pair.server);
        // Fails only for a map that is gone, with all that it would count.
        let _ = self.servers.set(0, **bits, 0);
        Some(<(Volume, Volume)>::default())
    }
}

impl Control for Maps {
    fn skipped(&self) -> io::Result<Skipped> {
        let mut skipped = Skipped::default();
        for (reason, total) in skipped.0.iter_mut().enumerate() {
            let index = u32::try_from(reason).unwrap_or(u32::MAX);
            for share in self.skipped.get(&index, 0).map_err(told)?.iter() {
                total.add(wire::volume(share));
            }
        }
        Ok(skipped)
    }

    fn wish(&mut self, path: &Path, wish: Wish) {
        let changed = |windows| wire::wished(&windows, wire::sender(path), wish);
        match wire::flow(path) {
            Some(FlowKey::V4(key)) => change(&mut self.flows4, &key, changed),
            Some(FlowKey::V6(key)) => change(&mut self.flows6, &key, changed),
            None => {}
        }
    }

    fn watch(&mut self, pair: Pair) {
        if !self.watched.contains_key(&pair) {
            let counted = self.count(pair);
            self.watched.insert(pair, counted);
        }
    }

    fn unwatch(&mut self, pair: Pair) {
        // The server's bit stays: it costs a look-up, until the sensor is started again.
        if let Some(Some(_)) = self.watched.remove(&pair) {
            let _ = self.exchanges.remove(&wire::conversation(pair));
        }
    }

    fn exchanges(&mut self) -> (Vec<Exchange>, usize) {
        let mut grown = Vec::new();
        let mut uncounted = 0;
        let others: Vec<_> = self
            .watched
            .iter()
            .filter(|(_, counted)| counted.is_none())
            .map(|(pair, _)| *pair)
            .collect();
        for pair in others {
            // Its handle may have let it go, or another pair its place.
            let counted = self.count(pair);
            uncounted += usize::from(
                counted.is_none() && self.exchanges.get(&wire::conversation(pair), 0).is_err(),
            );
            self.watched.insert(pair, counted);
        }
        for (&pair, counted) in &mut self.watched {
            let Some(before) = counted else { continue };
            let Ok(value) = self.exchanges.get(&wire::conversation(pair), 0) else { continue };
            let now = wire::exchanged(&value);
            if now != *before {
                let (sent, received) = (now.0.since(before.0), now.1.since(before.1));
                grown.push(Exchange { pair, sent, received });
                *before = now;
            }
        }
        (grown, uncounted)
    }
}

/// A flow that is not there, or was forgotten between the read and the write, needs nothing; the
/// outcome is the filter's default.
fn change<K: aya::Pod>(
    flows: &mut HashMap<MapData, K, [u8; wire::WINDOWS]>,
    key: &K,
    changed: impl Fn([u8; wire::WINDOWS]) -> Option<[u8; wire::WINDOWS]>,
) {
    if let Some(windows) = flows.get(key, 0).ok().and_then(changed) {
        let _ = flows.insert(key, windows, EXISTING);
    }
}

/// A descriptor of a map of `object`, which gives the map away.
fn handle(object: &mut Ebpf, name: &str) -> io::Result<OwnedFd> {
    match object.take_map(name) {
        Some(
            Map::LruHashMap(map) | Map::HashMap(map) | Map::Array(map) | Map::PerCpuArray(map),
        ) => map.fd().as_fd().try_clone_to_owned(),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Of a long error, about how many characters are kept.
const SHOWN: usize = 400;

/// An error of the loader with its causes in one line: the loader's own text leaves them out.
fn told(error: impl std::error::Error) -> io::Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    // The verifier treats a process without CAP_PERFMON as unprivileged: no computed addresses,
    // no loops over headers.
    if text.contains("!root") || text.contains("infinite loop") {
        return io::Error::other("the kernel refuses the program; is CAP_PERFMON there?");
    }
    // A refused program brings the verifier's log along, of which the end says why.
    if text.len() > SHOWN {
        let tail = text.char_indices().rev().nth(SHOWN / 2).map_or(0, |(at, _)| at);
        let head = text.lines().next().unwrap_or_default().to_owned();
        text = format!("{head} … {}", &text[tail..].replace('\n', "; "));
    }
    io::Error::other(text)
}
