#![forbid(unsafe_code)]
//! From octets to names.
//!
//! In: a datagram's payload, or the in-order octets of one direction of a stream. Out: names with
//! their [`Signal`]. Knows protocols; knows neither signatures nor flows' tables. One protocol is
//! one file or folder.

pub mod dns;
pub mod dtls;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod proxy;
pub mod quic;
pub mod reader;
pub mod reassembly;
pub mod starttls;
pub mod stream;
pub mod tls;

pub use error::Malformed;
pub use reassembly::Reassembly;

/// How a name (or address) was seen.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Signal {
    DnsQuery,
    DnsAnswer,
    MdnsQuery,
    LlmnrQuery,
    TlsSni,
    TlsCert,
    DtlsSni,
    QuicSni,
    GquicSni,
    HttpHost,
    HttpTarget,
    Http2Authority,
    ProxyConnect,
    Socks,
    DnsAttributed,
    IpPrefix,
}

impl Signal {
    /// Every signal, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::DnsQuery,
        Self::DnsAnswer,
        Self::MdnsQuery,
        Self::LlmnrQuery,
        Self::TlsSni,
        Self::TlsCert,
        Self::DtlsSni,
        Self::QuicSni,
        Self::GquicSni,
        Self::HttpHost,
        Self::HttpTarget,
        Self::Http2Authority,
        Self::ProxyConnect,
        Self::Socks,
        Self::DnsAttributed,
        Self::IpPrefix,
    ];

    /// The metric label and configuration word, as `tls_sni`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::DnsQuery => "dns_query",
            Self::DnsAnswer => "dns_answer",
            Self::MdnsQuery => "mdns_query",
            Self::LlmnrQuery => "llmnr_query",
            Self::TlsSni => "tls_sni",
            Self::TlsCert => "tls_cert",
            Self::DtlsSni => "dtls_sni",
            Self::QuicSni => "quic_sni",
            Self::GquicSni => "gquic_sni",
            Self::HttpHost => "http_host",
            Self::HttpTarget => "http_target",
            Self::Http2Authority => "http2_authority",
            Self::ProxyConnect => "proxy_connect",
            Self::Socks => "socks",
            Self::DnsAttributed => "dns_attributed",
            Self::IpPrefix => "ip_prefix",
        }
    }

    /// What `read --names` prints, as `tls-sni`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::DnsQuery => "dns-query",
            Self::DnsAnswer => "dns-answer",
            Self::MdnsQuery => "mdns-query",
            Self::LlmnrQuery => "llmnr-query",
            Self::TlsSni => "tls-sni",
            Self::TlsCert => "tls-cert",
            Self::DtlsSni => "dtls-sni",
            Self::QuicSni => "quic-sni",
            Self::GquicSni => "gquic-sni",
            Self::HttpHost => "http-host",
            Self::HttpTarget => "http-target",
            Self::Http2Authority => "http2-authority",
            Self::ProxyConnect => "proxy-connect",
            Self::Socks => "socks",
            Self::DnsAttributed => "dns-attributed",
            Self::IpPrefix => "ip-prefix",
        }
    }

    /// Is the name one that a proxy is asked for, so that the server is not what it names?
    #[must_use]
    pub const fn is_of_proxy(self) -> bool {
        matches!(self, Self::HttpTarget | Self::ProxyConnect | Self::Socks)
    }

    /// Is a proxy asked for a tunnel, in which its client speaks to the server itself?
    #[must_use]
    pub const fn is_of_tunnel(self) -> bool {
        matches!(self, Self::ProxyConnect | Self::Socks)
    }

    /// The signal that [`Self::label`] names.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.label() == label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_kinds_differ_only_in_their_joint() {
        for (number, signal) in Signal::ALL.into_iter().enumerate() {
            assert_eq!(signal as usize, number);
            assert_eq!(signal.label().replace('_', "-"), signal.kind());
            assert_eq!(Signal::from_label(signal.label()), Some(signal));
        }
        assert_eq!(Signal::from_label("sni"), None);
    }
}
