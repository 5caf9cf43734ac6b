#![forbid(unsafe_code)]
//! What was seen, what was not, and why: closed sets of outcomes whose sums are conserved.
//!
//! A worker owns one [`Ledger`] and is its only writer; the exporter reads it at scrape time.
//! What began equals the sum of its outcomes plus what is pending.

pub mod counter;
pub mod estimate;
pub mod outcome;

pub use counter::Counter;
pub use estimate::{Estimate, Latest, Ratio};
pub use outcome::{
    DnsOutcome, DnsTransport, HandshakeOutcome, HandshakeProtocol, PacketOutcome, TableName,
};

/// The counts of one worker. Single writer, any number of readers. No two workers' counts share a
/// cache line (or a pair of them, which processors fetch together).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Ledger {
    /// Frames taken in by the pipeline, before anything else.
    pub frames: Counter,
    /// One outcome for each frame.
    pub packets: [Counter; PacketOutcome::ALL.len()],
    /// Frames without an outcome yet: fragments whose datagrams are not whole. A gauge.
    pub fragments_waiting: Counter,
    pub handshakes_begun: [Counter; HandshakeProtocol::ALL.len()],
    pub handshakes: [[Counter; HandshakeOutcome::ALL.len()]; HandshakeProtocol::ALL.len()],
    pub dns_begun: [Counter; DnsTransport::ALL.len()],
    pub dns: [[Counter; DnsOutcome::ALL.len()]; DnsTransport::ALL.len()],
    /// QUIC keys that were not derived because of the budget for it.
    pub derivations_refused: Counter,
    /// Copies of inspected packets.
    pub copies: Counter,
    /// Records that found their channel full.
    pub records_lost: Counter,
    /// Packet times that ran backwards or jumped ahead and were clamped.
    pub time_clamped: Counter,
    /// What only a sample of flows can tell.
    pub estimate: Estimate,
    /// How full the tables of what is unfinished are.
    pub tables: [TableUse; TableName::ALL.len()],
}

/// How full one table is.
#[derive(Debug, Default)]
pub struct TableUse {
    pub entries: Counter,
    pub bytes: Counter,
    /// Given up for room since the start.
    pub evicted: Counter,
}

impl Ledger {
    /// Counts the outcome of one frame.
    #[inline]
    pub fn packet(&self, outcome: PacketOutcome) {
        self.packets[outcome as usize].add(1);
    }

    /// Counts the beginning of a DNS message.
    #[inline]
    pub fn dns_begun(&self, transport: DnsTransport) {
        self.dns_begun[transport as usize].add(1);
    }

    /// Counts the end of a DNS message.
    #[inline]
    pub fn dns(&self, transport: DnsTransport, outcome: DnsOutcome) {
        self.dns[transport as usize][outcome as usize].add(1);
    }

    /// Counts the outcome of several frames.
    pub fn packets(&self, outcome: PacketOutcome, count: u64) {
        self.packets[outcome as usize].add(count);
    }

    /// Shows how full a table is.
    pub fn table(&self, table: TableName, entries: usize, bytes: usize, evicted: u64) {
        let shown = &self.tables[table as usize];
        shown.entries.set(entries as u64);
        shown.bytes.set(bytes as u64);
        shown.evicted.set(evicted);
    }

    /// Counts the beginning of a handshake.
    #[inline]
    pub fn handshake_begun(&self, protocol: HandshakeProtocol) {
        self.handshakes_begun[protocol as usize].add(1);
    }

    /// Counts the end of a handshake.
    #[inline]
    pub fn handshake(&self, protocol: HandshakeProtocol, outcome: HandshakeOutcome) {
        self.handshakes[protocol as usize][outcome as usize].add(1);
    }
}
