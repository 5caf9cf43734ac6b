//! The names in a server's certificate (RFC 5280), where it is sent in the clear.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Common names that are looked at: each is held against all alternative names. A subject has one
/// (RFC 6125 §2.3.1 calls more of them a mistake).
pub const MAX_COMMON_NAMES: usize = 16;
/// The longest name that is handed on.
const MAX_LEN: usize = 1_024;

/// Hands the `dNSName`s of the subject alternative names over, and the subject's common names
/// that are not among them. There are as many as the message has room for, some thousand. Nothing
/// is verified: a sensor reports what was sent.
pub fn names(der: &[u8], mut each: impl FnMut(&[u8])) {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return };
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let dns_names = || {
        alternatives.iter().flat_map(|names| &names.value.general_names).filter_map(|name| {
            match name {
                GeneralName::DNSName(name) => Some(name.as_bytes()),
                _ => None,
            }
        })
    };
    let mut hand_over = |name: &[u8]| {
        if !name.is_empty() && name.len() <= MAX_LEN {
            each(name);
        }
    };
    for name in dns_names() {
        hand_over(name);
    }
    for name in certificate.subject().iter_common_name().take(MAX_COMMON_NAMES) {
        let name = name.as_slice();
        if is_host(name) && !dns_names().any(|known| known.eq_ignore_ascii_case(name)) {
            hand_over(name);
        }
    }
}

/// Common names are free text; only what could be a host name is one.
fn is_host(name: &[u8]) -> bool {
    name.contains(&b'.')
        && name.iter().all(|octet| octet.is_ascii_alphanumeric() || b".-_*".contains(octet))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_name: &str, alternatives: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names =
            alternatives.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn seen(der: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        names(der, |name| seen.push(String::from_utf8_lossy(name).into_owned()));
        seen
    }

    #[test]
    fn alternative_names_and_the_common_name_are_read_once() {
        let der = certificate("A.example", &["a.example", "*.b.example"]);
        assert_eq!(seen(&der), ["a.example", "*.b.example"]);
        assert_eq!(seen(&certificate("c.example", &["a.example"])), ["a.example", "c.example"]);
        assert_eq!(seen(&certificate("Router of Eve", &[])), [""; 0]);
        assert_eq!(seen(&certificate("c.example", &[])), ["c.example"]);
    }

    #[test]
    fn of_a_thousand_names_each_is_seen() {
        let names: Vec<String> = (0..1_000).map(|n| format!("{n}.example")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(seen(&certificate("999.example", &names)), names);
    }

    #[test]
    fn no_prefix_and_no_flip_of_a_certificate_is_a_surprise() {
        let der = certificate("c.example", &["a.example"]);
        for len in 0..der.len() {
            seen(&der[..len]);
        }
        for at in 0..der.len() {
            let mut altered = der.clone();
            altered[at] ^= 0x81;
            seen(&altered);
        }
    }
}
