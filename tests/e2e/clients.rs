//! Real clients, end to end: curl, openssl, dig and Chromium talk to servers over a veth pair, and
//! the sensor on the wire finds each name once, by the signal that carries it. Needs what
//! `scripts/deps.sh test` installs; the clients are in clients.sh.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::sensor::read;
use crate::support::repository;

/// How often each name was found, by name (without `.lab.example`) and signal.
type Found = BTreeMap<(String, String), u64>;

/// What every client of `clients.sh direct` shows. A name of several signals is one that the
/// client asked for and then used.
const DIRECT: &[(&str, &[&str])] = &[
    ("curl-tls13", &["dns_query", "tls_sni"]),
    ("curl-tls12", &["dns_query", "tls_sni"]),
    ("curl-http", &["dns_query", "http_host"]),
    ("curl-http2", &["dns_query", "http2_authority"]),
    ("curl-connect", &["proxy_connect", "tls_sni"]),
    ("curl-proxy", &["http_target"]),
    ("curl-socks5", &["socks", "tls_sni"]),
    ("curl-socks4a", &["socks", "tls_sni"]),
    ("curl-haproxy", &["dns_query", "tls_sni"]),
    ("smtp", &["tls_sni"]),
    ("lmtp", &["tls_sni"]),
    ("imap", &["tls_sni"]),
    ("pop3", &["tls_sni"]),
    ("ftp", &["tls_sni"]),
    ("ldap", &["tls_sni"]),
    ("xmpp", &["tls_sni"]),
    ("xmpp-server", &["tls_sni"]),
    ("postgres", &["tls_sni"]),
    ("mysql", &["tls_sni"]),
    ("nntp", &["tls_sni"]),
    ("sieve", &["tls_sni"]),
    ("irc", &["tls_sni"]),
    ("dig-udp", &["dns_query"]),
    ("dig-edns", &["dns_query"]),
    ("dig-tcp", &["dns_query"]),
    ("chromium-tls", &["dns_query", "tls_sni"]),
    ("chromium-quic", &["dns_query", "quic_sni"]),
    ("last", &["dns_query"]),
];

/// The same of `clients.sh mirror`.
const MIRROR: &[(&str, &[&str])] = &[
    ("mirror-tls", &["dns_query", "tls_sni"]),
    ("mirror-http", &["dns_query", "http_host"]),
    ("mirror-dns", &["dns_query"]),
    ("mirror-quic", &["dns_query", "quic_sni"]),
    ("last", &["dns_query"]),
];

/// The tunnels that a mirror may be sent in, as `ip link add` makes them.
const TUNNELS: [&str; 6] = [
    "vxlan id 4711 dstport 4789 remote 192.0.2.2 local 192.0.2.1",
    "vxlan id 4711 dstport 8472 remote 192.0.2.2 local 192.0.2.1",
    "geneve id 4711 remote 192.0.2.2",
    "gretap key 77 remote 192.0.2.2 local 192.0.2.1",
    "erspan seq key 77 erspan_ver 1 erspan 5 remote 192.0.2.2 local 192.0.2.1",
    "erspan seq key 77 erspan_ver 2 erspan_dir ingress erspan_hwid 7 remote 192.0.2.2 local 192.0.2.1",
];

/// Writes a vendor for each name, so that the counts of vendors are those of names, and one for
/// whatever else is below `lab.example`.
fn signatures(folder: &Path, clients: &[(&str, &[&str])]) {
    fs::create_dir(folder).unwrap();
    let names = clients.iter().map(|(name, _)| (*name, format!("{name}.lab.example")));
    let names: Vec<_> = names.chain([("lab", "lab.example".to_owned())]).collect();
    for (number, (vendor, name)) in names.into_iter().enumerate() {
        let number = 1_900_000 + number;
        let text = format!(
            r#"[vendor]
id = "{vendor}"
name = "{vendor}"
country = "XX"
affiliates = []
default_enabled = true

[[listing]]
id = "lab-1"
jurisdiction = "XX"
instrument = "made for a test"
issuer = "nobody"
date = "2026-11-21"
binding = false
names_vendor = true
regulates = ["advice"]
scope = "the lab"
status = "in-force"
status_checked = "2026-11-21"
source = ["https://lab.example/"]
counter_evidence = []

[[indicator]]
id = "{vendor}.name"
number = {number}
match = {{ kind = "suffix", value = "{name}" }}
purpose = "cloud"
product = "a client"
strength = "strong"
evidence = [
  {{ class = "B1", title = "the lab", reference = "lab/lab: scripts/lab.sh @ 0000000", retrieved = "2026-11-21", says = "so it is" }},
]
confounders = ["nobody else is there"]
first_seen = "2026-11-21"
review_by = "2027-11-21"
"#
        );
        fs::write(folder.join(format!("{vendor}.toml")), text).unwrap();
    }
}

/// Runs the clients under the sensor; false when the kernel cannot make that mirror.
fn run(dir: &Path, what: &str, options: &[&str]) -> bool {
    let output = Command::new(repository("tests/e2e/clients.sh"))
        .arg(what)
        .arg(dir)
        .args(options)
        .env("VENDORWATCH", env!("CARGO_BIN_EXE_vendorwatch"))
        .output()
        .unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "clients.sh {what} {options:?}: {out}{error}");
    out.trim() != "absent"
}

/// What the sensor counted live.
fn live(dir: &Path) -> Found {
    let label = |line: &str, name: &str| {
        let from = line.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
        line[from..].split('"').next().unwrap().to_owned()
    };
    let metrics = fs::read_to_string(dir.join("metrics")).unwrap();
    let mut found = Found::new();
    for line in metrics.lines() {
        let Some(series) = line.strip_prefix("vendorwatch_detections_total{") else { continue };
        let count: f64 = series.rsplit(' ').next().unwrap().parse().unwrap();
        if count > 0.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few")]
            let count = count as u64;
            *found.entry((label(series, "vendor"), label(series, "signal"))).or_default() += count;
        }
    }
    let lost = metrics.lines().filter(|line| {
        line.starts_with("vendorwatch_capture_dropped_packets_total") && !line.ends_with(" 0")
    });
    assert_eq!(lost.collect::<Vec<_>>(), [""; 0], "packets were lost");
    found
}

/// What `read` counts in the capture that was made beside the sensor.
fn offline(dir: &Path) -> Found {
    let signatures = dir.join("signatures");
    let rows = read(&[Path::new("--signatures"), &signatures, &dir.join("span.pcap")]);
    let mut found = Found::new();
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        *found.entry((text("vendor"), text("signal"))).or_default() +=
            row["count"].as_u64().unwrap();
    }
    found
}

/// Each name by each of its signals: once, or as often as an independent dissector sees questions
/// for it (A and AAAA are two, and a client that waits too long asks anew, with another id) or
/// hellos. That dissector does not look into all of what turns to TLS, so what it does not see is
/// expected all the same.
fn expected(clients: &[(&str, &[&str])], capture: &Path) -> Found {
    let pairs = clients.iter().flat_map(|(name, signals)| {
        signals.iter().map(move |signal| (((*name).to_owned(), (*signal).to_owned()), 1))
    });
    let mut expected: Found = pairs.collect();
    let question: &[&str] = &["dns.qry.name", "dns.qry.type", "dns.id"];
    for (signal, filter, fields) in [
        ("dns_query", "dns.flags.response == 0", question),
        ("tls_sni", "tls.handshake.type == 1 && tcp", &[SERVER_NAME, "tcp.stream"]),
        ("quic_sni", "tls.handshake.type == 1 && quic", &[SERVER_NAME, "udp.stream"]),
    ] {
        let mut seen = Found::new();
        for row in dissected(capture, filter, fields).into_iter().collect::<BTreeSet<_>>() {
            let name = row.split(['\t', '.']).next().unwrap();
            *seen.entry((name.to_owned(), signal.to_owned())).or_default() += 1;
        }
        for (key, count) in &mut expected {
            *count = seen.get(key).copied().unwrap_or(*count);
        }
    }
    expected
}

const SERVER_NAME: &str = "tls.handshake.extensions_server_name";

/// What an independent dissector says of a capture: the fields of each packet that `filter` lets
/// through, with tabs between.
fn dissected(capture: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let output = Command::new("tshark")
        .args(["-n", "-d", "udp.port==8472,vxlan", "-T", "fields"])
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .args(["-Y", filter, "-r"])
        .arg(capture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_name_of_a_real_client_is_found_once() {
    let dir = TempDir::new().unwrap();
    let capture = dir.path().join("span.pcap");
    signatures(&dir.path().join("signatures"), DIRECT);
    assert!(run(dir.path(), "direct", &[]));
    let mut expected = expected(DIRECT, &capture);
    // The certificate of the one server that was asked for TLS 1.2: lab.example and *.lab.example.
    expected.insert(("lab".to_owned(), "tls_cert".to_owned()), 1);
    let live = live(dir.path());
    assert_eq!(live, expected);
    assert_eq!(offline(dir.path()), live, "read says the same of the same wire");
    // X25519MLKEM768.
    let post_quantum = "tls.handshake.extensions_key_share_group == 4588";
    for (name, carrier) in [("chromium-quic", "quic"), ("chromium-tls", "tcp")] {
        let seen = dissected(&capture, &format!("{post_quantum} && {carrier}"), &[SERVER_NAME]);
        let name = format!("{name}.lab.example");
        assert!(seen.contains(&name), "{name}: its hello was to be post-quantum: {seen:?}");
    }
}

/// The kernel's own mirrors, of every kind of device that it has.
#[test]
fn every_name_is_found_once_behind_a_mirror_of_the_kernel() {
    let (mut seen, mut absent) = (Vec::new(), Vec::new());
    for tunnel in TUNNELS {
        let options: Vec<&str> = tunnel.split(' ').collect();
        let dir = TempDir::new().unwrap();
        signatures(&dir.path().join("signatures"), MIRROR);
        if !run(dir.path(), "mirror", &options) {
            absent.push(tunnel);
            continue;
        }
        seen.push(options[0]);
        let live = live(dir.path());
        assert_eq!(live, expected(MIRROR, &dir.path().join("span.pcap")), "{tunnel}");
        assert_eq!(offline(dir.path()), live, "{tunnel}: read says the same of the same wire");
    }
    eprintln!("mirrors of this kernel: {seen:?}; it has no device for {absent:?}");
    assert!(seen.contains(&"vxlan"), "a kernel without VXLAN tests nothing here");
}
