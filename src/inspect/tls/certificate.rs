//! The names in a server's certificate (RFC 5280), where it is sent in the clear.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Names that are handed on of one certificate. Content networks have had some hundred.
pub const MAX_NAMES: usize = 256;
/// The longest name that is handed on.
const MAX_LEN: usize = 1_024;

/// Hands the `dNSName`s of the subject alternative names over, and the subject's common names
/// that are not among them. Nothing is verified: a sensor reports what was sent.
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
    let mut left = MAX_NAMES;
    let mut hand_over = |name: &[u8]| {
        if left > 0 && !name.is_empty() && name.len() <= MAX_LEN {
            left -= 1;
            each(name);
        }
    };
    for name in dns_names() {
        hand_over(name);
    }
    // Each is held against all those above, so both are bounded.
    for name in certificate.subject().iter_common_name().take(MAX_NAMES) {
        let name = name.as_slice();
        let mut known = dns_names().take(MAX_NAMES);
        if is_host(name) && !known.any(|known| known.eq_ignore_ascii_case(name)) {
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
