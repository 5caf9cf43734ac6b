//! Every scalar key of the configuration.

use core::time::Duration;

use super::key::{Key, Kind};

/// Defines keys as constants and lists them in the order of the default file.
macro_rules! keys {
    ($($(#[doc = $about:literal])+ $name:ident = $path:literal, $flag:literal $(/ $short:literal)?,
        $kind:expr, $default:literal $(, $restart:ident)?;)+) => {
        $($(#[doc = $about])+
        pub const $name: Key = Key {
            path: $path,
            flag: $flag,
            short: keys!(@short $($short)?),
            kind: $kind,
            default: $default,
            restart: keys!(@restart $($restart)?),
            about: concat!($($about, "\n"),+),
        };)+

        /// Every key, in the order of the default file.
        pub const ALL: &[Key] = &[$($name),+];
    };
    (@short) => { None };
    (@short $short:literal) => { Some($short) };
    (@restart) => { false };
    (@restart restart) => { true };
}

const ANY_SPAN: Kind = at_least(Duration::ZERO);
const fn at_least(min: Duration) -> Kind {
    Kind::Span { min, max: Duration::MAX }
}

/// How long a worker waits for frames before it looks whether it is to stop.
const LONGEST_TURN: Duration = Duration::from_millis(100);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

keys! {
    /// Interfaces that carry the mirrored traffic. None: `run` must be given -i.
    CAPTURE_INTERFACES = "capture.interfaces", "interface" / 'i', Kind::List, "", restart;
    /// How frames are taken from the kernel. auto: the packet ring where it can be had, libpcap
    /// otherwise. xdp is never chosen by itself: it takes frames away from the interface.
    CAPTURE_BACKEND = "capture.backend", "capture",
        Kind::Word(&["auto", "libpcap", "ring", "xdp"]), "auto", restart;
    /// Capture filter in tcpdump's syntax. None: every frame is looked at, for a name can travel
    /// on any port.
    CAPTURE_FILTER = "capture.filter", "filter", Kind::Text, "", restart;
    /// Also take frames that are not addressed to this host, which is what a mirror port delivers.
    CAPTURE_PROMISCUOUS = "capture.promiscuous", "promiscuous", Kind::Switch, "true", restart;
    /// Kernel buffer of each worker. A burst that does not fit is lost: with 2 MiB nine tenths of
    /// a burst were, with 32 MiB none.
    CAPTURE_BUFFER = "capture.buffer", "buffer-size",
        Kind::Size { min: MIB, max: 4 * GIB }, "32MiB", restart;
    /// Workers for each interface. 0: one for each core but at most eight, shared among the
    /// interfaces; each has budgets of its own.
    CAPTURE_WORKERS = "capture.workers", "workers",
        Kind::Number { min: 0, max: 1_024 }, "0", restart;
    /// Leave out what this machine sends through the interface. Off, so that a host that is watched
    /// on its own interface is seen whole.
    CAPTURE_IGNORE_OUTGOING = "capture.ignore_outgoing", "capture.ignore-outgoing",
        Kind::Switch, "false", restart;
    /// Ask the card for its own timestamps. Off, because the card's clock is only right where
    /// something keeps it so.
    CAPTURE_HARDWARE_TIME = "capture.hardware_time", "capture.hardware-time",
        Kind::Switch, "false", restart;
    /// Look at the ring for this long before sleeping, at most 0.1 s: lower delay for processor time.
    /// Not with libpcap. 0s: do not, because a mirror is in no hurry.
    CAPTURE_BUSY_POLL = "capture.busy_poll", "capture.busy-poll",
        Kind::Span { min: Duration::ZERO, max: LONGEST_TURN }, "0s", restart;
    /// Flows that the in-kernel filter remembers for each ring, or for the interface with xdp.
    CAPTURE_KERNEL_FLOWS = "capture.kernel_flows", "capture.kernel-flows",
        Kind::Number { min: 1_024, max: 16_777_216 }, "65536", restart;
    /// Processors that the workers are pinned to, in turn. None: the scheduler decides.
    CAPTURE_CPUS = "capture.cpus", "capture.cpus", Kind::List, "", restart;

    /// Directories with signature files and packs, added to the built-in ones; a file of a built-in
    /// vendor replaces it.
    SIGNATURES_DIRECTORIES = "signatures.directories", "signatures", Kind::List, "";
    /// Use the signatures that are built into the program.
    SIGNATURES_BUILT_IN = "signatures.built_in", "signatures.built-in", Kind::Switch, "true";
    /// Public keys, in minisign's form, that signed packs must be signed with. None: signatures of
    /// packs are not looked at.
    SIGNATURES_KEYS = "signatures.keys", "signatures.keys", Kind::List, "";
    /// Refuse packs that are not signed with one of the keys.
    SIGNATURES_REQUIRE_SIGNED = "signatures.require_signed", "signatures.require-signed",
        Kind::Switch, "false";
    /// Vendors to look for although their file says off by default.
    SIGNATURES_ENABLE = "signatures.enable", "signatures.enable", Kind::List, "";
    /// Vendors not to look for.
    SIGNATURES_DISABLE = "signatures.disable", "signatures.disable", Kind::List, "";
    /// Only vendors that one of these listings names: stable ids, as us-ndaa-2018-1634, or
    /// jurisdictions, as US. None: all.
    SIGNATURES_LISTINGS = "signatures.listings", "signatures.listings", Kind::List, "";
    /// Only vendors of whom a listing regulates one of these (use, purchase, supply, export,
    /// naming, advice). None: all.
    SIGNATURES_REGULATES = "signatures.regulates", "signatures.regulates", Kind::List, "";
    /// Weakest indicator that counts. Weak ones match people who browse, too; the strength is a
    /// label everywhere, so the default keeps them.
    SIGNATURES_MIN_STRENGTH = "signatures.min_strength", "signatures.min-strength",
        Kind::Word(&["weak", "moderate", "strong"]), "weak";

    /// Addresses and ports to serve metrics on; :PORT means all addresses. Client addresses and
    /// reload are served to this host only, wherever the port listens.
    WEB_LISTEN_ADDRESS = "web.listen_address", "web.listen-address", Kind::List, ":10064", restart;
    /// Requests served at the same time; more are answered 503. Prometheus needs one. With 64 more
    /// connections than that on an address, the oldest is closed for the next.
    WEB_MAX_REQUESTS = "web.max_requests", "web.max-requests",
        Kind::Number { min: 1, max: 10_000 }, "40", restart;

    /// File for events, one JSON object a line; - is standard output. None: no events are written.
    /// The file is opened again on SIGUSR1, after it was rotated.
    EVENTS_PATH = "events.path", "events", Kind::Text, "", restart;
    /// Events that may wait to be written; more are dropped and counted. At 1 KiB an event this
    /// is 8 MiB.
    EVENTS_QUEUE = "events.queue", "events.queue",
        Kind::Number { min: 16, max: 1_000_000 }, "8192", restart;
    /// A finding that goes on is written again after this time: often enough to see that it goes
    /// on, rarely enough for a busy network.
    EVENTS_REPEAT = "events.repeat", "events.repeat", ANY_SPAN, "1h", restart;
    /// Write first-seen events as `alert`, so that existing alert pipelines act on them.
    EVENTS_ALERT = "events.alert", "events.alert", Kind::Switch, "true", restart;

    /// Database of findings. auto: inventory.sqlite in the directory that the service manager
    /// gives (STATE_DIRECTORY), or none where there is no such directory. off: none.
    INVENTORY_PATH = "inventory.path", "inventory", Kind::NonEmpty, "auto", restart;
    /// Findings last seen longer ago than this are forgotten: a year and a month, so that yearly
    /// renewals are not news.
    INVENTORY_RETENTION = "inventory.retention", "inventory.retention",
        at_least(Duration::from_secs(86_400)), "400d", restart;
    /// Most findings kept, so that forged client addresses cannot fill the disk.
    INVENTORY_MAX_ROWS = "inventory.max_rows", "inventory.max-rows",
        Kind::Number { min: 1_000, max: 1_000_000_000 }, "1000000", restart;
    /// Most octets that the database may take on disk.
    INVENTORY_MAX_BYTES = "inventory.max_bytes", "inventory.max-bytes",
        Kind::Size { min: MIB, max: 1_024 * GIB }, "1GiB", restart;

    /// A client counts in vendorwatch_vendor_clients for this long after it was last seen, or a
    /// thousandth longer: a day, so that a host that is off at night does not come and go.
    METRICS_CLIENT_WINDOW = "metrics.client_window", "metrics.client-window",
        at_least(Duration::from_secs(1)), "24h", restart;

    /// Octets for connections whose first payload is unfinished, for each worker.
    BUDGETS_CONNECTIONS = "budgets.connections", "budgets.connections",
        Kind::Size { min: MIB, max: 16 * GIB }, "24MiB", restart;
    /// Records that may wait between a worker and the correlator; more are dropped and counted.
    BUDGETS_RECORDS = "budgets.records", "budgets.records",
        Kind::Number { min: 1_024, max: 16_777_216 }, "65536", restart;
    /// Octets for what clients were told by DNS, by which connections without a name get one; 16MiB
    /// in `read`, unless it is said here.
    BUDGETS_ANSWERS = "budgets.answers", "budgets.answers",
        Kind::Size { min: MIB, max: 16 * GIB }, "32MiB", restart;
    /// Findings in memory. The one seen least recently makes room; the inventory keeps it, and
    /// `read`, which has none, says how many it gave up.
    BUDGETS_FINDINGS = "budgets.findings", "budgets.findings",
        Kind::Number { min: 1_024, max: 16_777_216 }, "65536", restart;
    /// Pairs of client and server whose volume is counted though no name was seen.
    BUDGETS_ATTRIBUTED = "budgets.attributed", "budgets.attributed",
        Kind::Number { min: 64, max: 1_048_576 }, "4096", restart;

    /// Directory for what survives a restart. None: the one that the service manager gives
    /// (STATE_DIRECTORY).
    DAEMON_STATE_DIR = "daemon.state_dir", "state-dir", Kind::Text, "", restart;
    /// User to become after the sockets are open, where no service manager does it. None: stay.
    DAEMON_USER = "daemon.user", "user", Kind::Text, "", restart;
}
