//! The text of an event. Consumers branch on `event_type` and map fixed keys, so that where we
//! speak of the same thing we use Suricata's names (its manual, "EVE JSON Format"); `dns` is in
//! version 3 with the scalar of version 2 beside it.

use std::net::IpAddr;

use serde::Serialize;

use crate::config::Policy;
use crate::detect::{Detected, Notice, Role};
use crate::inspect::Signal;
use crate::net::{IpProtocol, Path};
use crate::signature::Vendor;
use crate::time::Timestamp;

/// The event of `detected`, without the end of its line. `alert`: what is seen for the first time
/// and not excepted becomes an alert.
#[must_use]
pub fn line(detected: &Detected<'_>, policy: &Policy, interface: &str, alert: bool) -> String {
    let detection = detected.detection;
    let indicator = detected.indicator();
    let vendor = policy.set.vendor(&indicator.vendor);
    let is_first = matches!(detected.notice, Some(Notice::FirstOfVendor | Notice::NewFinding));
    let alerts = alert && is_first && detected.exception.is_none();
    let signal = detection.signal;
    let name = detection.name.as_str();
    let path = &detection.path;
    let app = App::of(signal);
    let event = Event {
        timestamp: timestamp(detection.origin.at),
        flow_id: flow_id(path),
        in_iface: (!interface.is_empty()).then_some(interface),
        kind: if alerts { "alert" } else { app.event_type() },
        vlan: detection.client.vlan.map(|vlan| [vlan]),
        src_ip: path.source.addr.to_ip(),
        src_port: path.source.port,
        dest_ip: path.destination.addr.to_ip(),
        dest_port: path.destination.port,
        proto: protocol(path.protocol),
        community_id: community_id(path),
        app_proto: alerts.then(|| app.app_proto()).flatten(),
        alert: alerts.then(|| Alert {
            action: "allowed",
            gid: 1,
            signature_id: indicator.number,
            rev: 1,
            signature: format!(
                "{}: documented {} endpoint contacted",
                vendor.map_or(&*indicator.vendor, |vendor| &vendor.name),
                indicator.purpose.label(),
            ),
            category: "Endpoint of a listed vendor",
            severity: 3,
        }),
        dns: (app == App::Dns).then(|| Dns {
            version: 3,
            kind: if signal == Signal::DnsAnswer { "response" } else { "request" },
            rrname: name,
            queries: [Query { rrname: name }],
        }),
        tls: (app == App::Tls).then(|| Tls {
            sni: (signal != Signal::TlsCert).then_some(name),
            subjectaltname: (signal == Signal::TlsCert).then_some([name]),
        }),
        quic: (app == App::Quic).then_some(Quic { sni: name }),
        http: (app == App::Http).then(|| Http {
            hostname: name,
            http_method: (signal == Signal::ProxyConnect).then_some("CONNECT"),
        }),
        vendorwatch: ours(detected, policy, vendor),
    };
    serde_json::to_string(&event).unwrap_or_default()
}

fn ours<'a>(
    detected: &'a Detected<'_>,
    policy: &'a Policy,
    vendor: Option<&'a Vendor>,
) -> Ours<'a> {
    let detection = detected.detection;
    let indicator = detected.indicator();
    let finding = detected.finding;
    Ours {
        schema: SCHEMA,
        vendor: &indicator.vendor,
        vendor_name: vendor.map_or(&*indicator.vendor, |vendor| &vendor.name),
        product: &indicator.product,
        indicator: &indicator.id,
        purpose: indicator.purpose.label(),
        strength: detected.strength.label(),
        signal: detection.signal.label(),
        name: detection.name.as_str(),
        network: policy.networks.name(detected.network),
        tenant: Some(&*finding.key.tenant).filter(|tenant| !tenant.is_empty()),
        first_seen: detected.new_finding,
        first_of_vendor: detected.first_of_vendor,
        reason: detected.notice.map(Notice::label),
        finding_first_seen: timestamp(finding.first_seen),
        finding_count: finding.count,
        role: detected.role.map(Role::label),
        ech: detected
            .ech
            .map(|(verdict, rule)| Ech { verdict: verdict.label(), rule: rule.label() }),
        resolved: detected.resolved.map(crate::detect::Resolved::label),
        attribution: detected.attribution.map(|attribution| Attribution {
            seconds_ago: attribution.age.as_secs(),
            stale: attribution.stale,
            names: attribution.names,
            shared: attribution.shared,
            relayed: attribution.relayed,
        }),
        evidence: indicator
            .evidence
            .iter()
            .map(|evidence| Evidence {
                class: evidence.class.label(),
                title: &evidence.title,
                reference: &evidence.reference,
            })
            .collect(),
        listings: vendor
            .map(|vendor| {
                policy.selection.listings_of(vendor).map(|listing| &*listing.id).collect()
            })
            .unwrap_or_default(),
        confounders: &indicator.confounders,
        exception: detected.exception.map(|exception| Exception {
            until: timestamp(exception.until),
            reason: &exception.reason,
        }),
    }
}

/// Moves when a key of our object changes its meaning or goes; new keys do not move it.
const SCHEMA: u8 = 1;

#[derive(Serialize)]
struct Event<'a> {
    timestamp: String,
    flow_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<&'a str>,
    #[serde(rename = "event_type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<[u16; 1]>,
    src_ip: IpAddr,
    src_port: u16,
    dest_ip: IpAddr,
    dest_port: u16,
    proto: String,
    community_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<Alert>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<Dns<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quic: Option<Quic<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http<'a>>,
    vendorwatch: Ours<'a>,
}

#[derive(Serialize)]
struct Alert {
    action: &'static str,
    gid: u32,
    signature_id: u32,
    rev: u32,
    signature: String,
    category: &'static str,
    severity: u8,
}

#[derive(Serialize)]
struct Dns<'a> {
    version: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    rrname: &'a str,
    queries: [Query<'a>; 1],
}

#[derive(Serialize)]
struct Query<'a> {
    rrname: &'a str,
}

#[derive(Serialize)]
struct Tls<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subjectaltname: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
struct Quic<'a> {
    sni: &'a str,
}

#[derive(Serialize)]
struct Http<'a> {
    hostname: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<&'static str>,
}

/// What only we say.
#[derive(Serialize)]
struct Ours<'a> {
    schema: u8,
    vendor: &'a str,
    vendor_name: &'a str,
    product: &'a str,
    indicator: &'a str,
    purpose: &'static str,
    strength: &'static str,
    signal: &'static str,
    name: &'a str,
    network: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    /// The first of its finding.
    first_seen: bool,
    first_of_vendor: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    finding_first_seen: String,
    finding_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ech: Option<Ech>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribution: Option<Attribution>,
    evidence: Vec<Evidence<'a>>,
    listings: Vec<&'a str>,
    confounders: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<Exception<'a>>,
}

#[derive(Serialize)]
struct Ech {
    verdict: &'static str,
    rule: &'static str,
}

#[derive(Serialize)]
struct Attribution {
    seconds_ago: u64,
    stale: bool,
    names: u16,
    shared: bool,
    /// A resolver was told, for one of its clients.
    relayed: bool,
}

#[derive(Serialize)]
struct Evidence<'a> {
    class: &'static str,
    title: &'a str,
    reference: &'a str,
}

#[derive(Serialize)]
struct Exception<'a> {
    until: String,
    reason: &'a str,
}

/// Which of EVE's objects a signal fills.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum App {
    Dns,
    Tls,
    Quic,
    Http,
    /// EVE has no object for it: ours is all there is.
    Ours,
}

impl App {
    const fn of(signal: Signal) -> Self {
        match signal {
            Signal::DnsQuery | Signal::DnsAnswer | Signal::MdnsQuery | Signal::LlmnrQuery => {
                Self::Dns
            }
            Signal::TlsSni | Signal::TlsCert | Signal::DtlsSni => Self::Tls,
            Signal::QuicSni | Signal::GquicSni => Self::Quic,
            Signal::HttpHost
            | Signal::HttpTarget
            | Signal::Http2Authority
            | Signal::ProxyConnect => Self::Http,
            Signal::Socks | Signal::DnsAttributed | Signal::IpPrefix => Self::Ours,
        }
    }

    const fn event_type(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Http => "http",
            Self::Ours => "vendorwatch",
        }
    }

    const fn app_proto(self) -> Option<&'static str> {
        match self {
            Self::Ours => None,
            other => Some(other.event_type()),
        }
    }
}

/// Microseconds and a numeric zone without a colon, as EVE has it.
fn timestamp(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos()))
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.6f+0000").to_string())
        .unwrap_or_default()
}

fn protocol(protocol: IpProtocol) -> String {
    match protocol {
        IpProtocol::TCP => "TCP".to_owned(),
        IpProtocol::UDP => "UDP".to_owned(),
        IpProtocol(number) => number.to_string(),
    }
}

/// The two ends in the order of Community ID: the smaller address, then port, first.
fn ends(path: &Path) -> [(IpAddr, u16); 2] {
    let (key, _) = path.key();
    [(key.low.addr.to_ip(), key.low.port), (key.high.addr.to_ip(), key.high.port)]
}

fn octets(path: &Path) -> Vec<u8> {
    let [(low, low_port), (high, high_port)] = ends(path);
    let mut out = Vec::with_capacity(40);
    for address in [low, high] {
        match address {
            IpAddr::V4(v4) => out.extend(v4.octets()),
            IpAddr::V6(v6) => out.extend(v6.octets()),
        }
    }
    out.extend([path.protocol.0, 0]);
    out.extend(low_port.to_be_bytes());
    out.extend(high_port.to_be_bytes());
    out
}

/// Community ID version 1 with seed 0 (corelight/community-id-spec).
fn community_id(path: &Path) -> String {
    let mut input = vec![0, 0];
    input.extend(octets(path));
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &input);
    format!("1:{}", base64(digest.as_ref()))
}

/// The same for both directions and all events of a flow. 53 bits, which every JSON reader keeps.
fn flow_id(path: &Path) -> u64 {
    // FNV-1a: no secret and no speed is needed, only the same answer in every run.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in path.tenant.0.to_be_bytes().into_iter().chain(octets(path)) {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3);
    }
    (hash ^ hash >> 53) & ((1 << 53) - 1)
}

/// RFC 4648 §4.
#[must_use]
pub fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in octets.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = bits >> (18 - 6 * place) & 63;
            out.push(if place <= chunk.len() { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use core::time::Duration;

    use std::sync::Arc;

    use super::*;
    use crate::detect::{self, Client, Detection, Finding, FindingKey, Origin};
    use crate::name::NameId;
    use crate::net::{Endpoint, TenantId};
    use crate::signature::{self, Class, Indicator, Pattern, Purpose, Strength};

    fn path(source: (&str, u16), destination: (&str, u16), protocol: IpProtocol) -> Path {
        let end = |(addr, port): (&str, u16)| Endpoint {
            addr: addr.parse::<IpAddr>().unwrap().into(),
            port,
        };
        let (source, destination) = (end(source), end(destination));
        Path { tenant: TenantId::NONE, protocol, source, destination }
    }

    #[test]
    fn community_ids_are_those_of_the_specification() {
        // From the baseline of corelight/community-id-spec: tcp.pcap and udp.pcap, seed 0.
        for (path, id) in [
            (
                path(("128.232.110.120", 34_855), ("66.35.250.204", 80), IpProtocol::TCP),
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                path(("192.168.1.52", 54_585), ("8.8.8.8", 53), IpProtocol::UDP),
                "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
            ),
        ] {
            assert_eq!(community_id(&path), id);
            assert_eq!(community_id(&path.reversed()), id);
            assert_eq!(flow_id(&path), flow_id(&path.reversed()));
        }
    }

    /// A detection of a fictitious vendor, and the event of it.
    fn event(signal: Signal, notice: Notice, alert: bool) -> String {
        let text = |text: &str| -> Arc<str> { text.into() };
        let indicator = Arc::new(Indicator {
            id: text("acme.update.cdn"),
            number: 1_000_001,
            vendor: text("acme"),
            product: text("Acme Agent"),
            pattern: Pattern::Exact("cdn.acme.example".to_owned()),
            purpose: Purpose::Update,
            strength: Strength::Strong,
            signals: Vec::new(),
            cname: false,
            evidence: vec![signature::Evidence {
                class: Class::A,
                title: "Ports used".to_owned(),
                reference: "https://acme.example/ports".to_owned(),
                retrieved: "2026-11-01".to_owned(),
                says: String::new(),
            }],
            confounders: vec!["mirrors by third parties".to_owned()],
            note: String::new(),
            first_seen: "2026-11-01".to_owned(),
            review_by: "2027-11-01".to_owned(),
        });
        let path = path(("10.1.0.7", 50_000), ("203.0.113.9", 443), IpProtocol::TCP);
        let at = Timestamp::from_parts(1_795_289_587, 123_456_789);
        let client = Client { addr: path.source.addr, vlan: Some(110), ..Client::default() };
        let detection = Detection {
            origin: Origin { at, ..Origin::default() },
            signal,
            name_id: NameId::default(),
            name: "cdn.acme.example".into(),
            indicator,
            client,
            path,
            identity: 7,
            ech: None,
            shared: false,
        };
        let mut finding = Finding::new(
            FindingKey {
                tenant: text(""),
                network: text("other"),
                client: path.source.addr,
                vendor: text("acme"),
                product: text("Acme Agent"),
                strength: Strength::Strong,
            },
            at,
        );
        finding.fold(&detection, None);
        let policy = Policy {
            set: Arc::default(),
            networks: Arc::default(),
            exceptions: Arc::default(),
            selection: signature::Selection::default(),
            loaded: at,
        };
        let detected = Detected {
            detection: &detection,
            strength: Strength::Strong,
            network: crate::net::NetworkId::OTHER,
            role: None,
            attribution: (signal == Signal::DnsAttributed).then_some(detect::Attribution {
                age: Duration::from_millis(2_500),
                stale: false,
                names: 3,
                shared: false,
                relayed: true,
            }),
            resolved: None,
            ech: None,
            finding: &finding,
            new_finding: notice <= Notice::NewFinding,
            first_of_vendor: notice == Notice::FirstOfVendor,
            notice: Some(notice),
            exception: None,
        };
        line(&detected, &policy, "span0", alert)
    }

    #[test]
    fn events_are_as_consumers_know_them() {
        const ENDS: &str = r#""vlan":[110],"src_ip":"10.1.0.7","src_port":50000,"dest_ip":"203.0.113.9","dest_port":443,"proto":"TCP","community_id":"1:"#;
        let alert = event(Signal::TlsSni, Notice::FirstOfVendor, true);
        let (head, rest) = alert.split_once(ENDS).unwrap_or_else(|| panic!("{alert}"));
        let flow = flow_id(&path(("10.1.0.7", 50_000), ("203.0.113.9", 443), IpProtocol::TCP));
        assert_eq!(
            head,
            format!(
                r#"{{"timestamp":"2026-11-21T19:33:07.123456+0000","flow_id":{flow},"in_iface":"span0","event_type":"alert","#
            )
        );
        let (_, rest) = rest.split_once("\",").unwrap();
        assert_eq!(
            rest,
            concat!(
                r#""app_proto":"tls","alert":{"action":"allowed","gid":1,"signature_id":1000001,"rev":1,"#,
                r#""signature":"acme: documented update endpoint contacted","#,
                r#""category":"Endpoint of a listed vendor","severity":3},"tls":{"sni":"cdn.acme.example"},"#,
                r#""vendorwatch":{"schema":1,"vendor":"acme","vendor_name":"acme","product":"Acme Agent","#,
                r#""indicator":"acme.update.cdn","purpose":"update","strength":"strong","signal":"tls_sni","#,
                r#""name":"cdn.acme.example","network":"other","first_seen":true,"first_of_vendor":true,"#,
                r#""reason":"first_of_vendor","finding_first_seen":"2026-11-21T19:33:07.123456+0000","#,
                r#""finding_count":1,"evidence":[{"class":"A","title":"Ports used","#,
                r#""reference":"https://acme.example/ports"}],"listings":[],"#,
                r#""confounders":["mirrors by third parties"]}}"#,
            )
        );
    }

    #[test]
    fn only_what_is_new_is_an_alert_and_every_signal_has_its_object() {
        for (signal, kind, object) in [
            (Signal::DnsQuery, "dns", r#""dns":{"version":3,"type":"request","rrname":"#),
            (Signal::DnsAnswer, "dns", r#""dns":{"version":3,"type":"response","rrname":"#),
            (Signal::QuicSni, "quic", r#""quic":{"sni":"#),
            (Signal::HttpHost, "http", r#""http":{"hostname":"cdn.acme.example"}"#),
            (Signal::ProxyConnect, "http", r#""http_method":"CONNECT""#),
            (Signal::TlsCert, "tls", r#""tls":{"subjectaltname":["#),
            (Signal::DnsAttributed, "vendorwatch", r#""signal":"dns_attributed""#),
        ] {
            for (notice, alert, alerts) in [
                (Notice::NewFinding, true, true),
                (Notice::NewFinding, false, false),
                (Notice::Repeat, true, false),
            ] {
                let text = event(signal, notice, alert);
                let kind = if alerts { "alert" } else { kind };
                assert!(text.contains(&format!(r#""event_type":"{kind}""#)), "{text}");
                assert!(text.contains(object), "{text}");
            }
        }
    }

    #[test]
    fn an_attribution_says_all_that_it_rests_on() {
        let text = event(Signal::DnsAttributed, Notice::NewFinding, true);
        let attribution = r#""attribution":{"seconds_ago":2,"stale":false,"names":3,"shared":false,"relayed":true}"#;
        assert!(text.contains(attribution), "{text}");
    }

    #[test]
    fn base64_pads() {
        for (octets, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(octets), text);
        }
    }

    #[test]
    fn times_have_microseconds_and_a_zone_without_a_colon() {
        let at = Timestamp::from_parts(1_795_289_587, 123_456_789);
        assert_eq!(timestamp(at), "2026-11-21T19:33:07.123456+0000");
    }
}
