//! `vendorwatch interfaces`: what can be captured from, and what would distort or forbid it.

use std::io::{self, Write};

use super::Failure;
use crate::capture::interfaces::{Interface, interfaces};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this interface
    #[arg(value_name = "IFACE")]
    only: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut shown = interfaces()?;
    if let Some(name) = &args.only {
        shown.retain(|interface| interface.name == *name);
        if shown.is_empty() {
            return Err(anyhow::anyhow!("no interface is called {name}").into());
        }
    }
    let mut out = io::stdout().lock();
    for interface in &shown {
        describe(interface, &mut out)?;
    }
    Ok(())
}

fn describe(interface: &Interface, out: &mut impl Write) -> io::Result<()> {
    let Interface { name, state, mtu, receive_queues, .. } = interface;
    write!(out, "{name}: {}", state.label())?;
    if let Some(driver) = &interface.driver {
        write!(out, ", {driver}")?;
    }
    if let Some(speed) = interface.speed {
        write!(out, ", {speed} Mbit/s")?;
    }
    writeln!(out, ", MTU {mtu}, {receive_queues} receive queues")?;
    if let Some(mac) = interface.mac {
        writeln!(out, "    hardware address {mac}")?;
    }
    if !interface.addresses.is_empty() {
        let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
        writeln!(out, "    addresses {}", addresses.join(", "))?;
    }
    if let Some(master) = &interface.master {
        writeln!(out, "    belongs to {master}")?;
    }
    if let Some(node) = interface.node {
        writeln!(out, "    memory node {node}: workers are best pinned to its processors")?;
    }
    if interface.promiscuous {
        writeln!(out, "    promiscuous already")?;
    }
    if interface.receive_dropped > 0 {
        writeln!(out, "    {} frames lost on receive so far", interface.receive_dropped)?;
    }
    for distortion in &interface.distortions {
        writeln!(out, "    warning: {}", distortion.to_string().replace("IFACE", name))?;
    }
    if let Some(why) = &interface.no_ring {
        writeln!(out, "    --capture ring: no, {why}")?;
    }
    match &interface.no_xdp {
        None => writeln!(out, "    --capture xdp: possible"),
        Some(why) => writeln!(out, "    --capture xdp: no, {why}"),
    }
}
