//! Live capture on interfaces of our own. These need root, iproute2 and network namespaces, so
//! they are marked ignored: `make test` runs them when it is root and says so when it is not.

mod daemon;
mod fanout;
mod filter;
mod interfaces;
mod judged;
mod lab;
#[cfg(feature = "libpcap")]
mod libpcap;
mod packets;
mod parity;
mod pinning;
mod privileges;
mod reuse;
mod ring;
mod volume;
