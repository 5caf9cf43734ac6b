//! BPF filters in the syntax of tcpdump, applied to frames of files.

use crate::capture::CaptureError;
use crate::frame::LinkType;

/// A filter expression, compiled for each link type that comes by.
///
/// The same words mean different octets on different link types, and a file may mix them: so an
/// expression is compiled when the first frame of a type asks.
pub struct Filter {
    expression: String,
    #[cfg(feature = "libpcap")]
    programs: Vec<(LinkType, pcap::BpfProgram)>,
}

impl Filter {
    /// A filter for `expression`.
    ///
    /// # Errors
    /// In a build without libpcap, which has the compiler.
    #[cfg(feature = "libpcap")]
    pub fn new(expression: &str) -> Result<Self, CaptureError> {
        Ok(Self { expression: expression.to_owned(), programs: Vec::new() })
    }

    /// A filter for `expression`.
    ///
    /// # Errors
    /// In a build without libpcap, which has the compiler.
    #[cfg(not(feature = "libpcap"))]
    pub fn new(expression: &str) -> Result<Self, CaptureError> {
        Err(CaptureError::Filter {
            filter: expression.to_owned(),
            why: "this build has no filter compiler (feature `libpcap`)".to_owned(),
        })
    }

    /// Is `expression` one for some link type that an interface may have?
    ///
    /// # Errors
    /// When it compiles for none of them; said for Ethernet.
    #[cfg(feature = "libpcap")]
    pub fn check(expression: &str) -> Result<(), CaptureError> {
        let mut filter = Self::new(expression)?;
        let Err(wrong) = filter.compile(LinkType::ETHERNET).map(|_| ()) else { return Ok(()) };
        // Words such as `wlan` mean nothing on Ethernet; which interface it will be is not known.
        let others = [
            LinkType::IEEE802_11_RADIOTAP,
            LinkType::IEEE802_11,
            LinkType::RAW,
            LinkType::LINUX_SLL,
            LinkType::LINUX_SLL2,
        ];
        if others.into_iter().any(|link| filter.compile(link).is_ok()) {
            Ok(())
        } else {
            Err(wrong)
        }
    }

    /// Is `expression` one for some link type that an interface may have?
    ///
    /// # Errors
    /// In a build without libpcap, which has the compiler.
    #[cfg(not(feature = "libpcap"))]
    pub fn check(expression: &str) -> Result<(), CaptureError> {
        Self::new(expression).map(|_| ())
    }

    /// Does a frame of this link type pass?
    ///
    /// # Errors
    /// When the expression does not compile for the link type.
    #[cfg(feature = "libpcap")]
    #[inline]
    pub fn passes(&mut self, link: LinkType, data: &[u8]) -> Result<bool, CaptureError> {
        let known = self.programs.iter().position(|(of, _)| *of == link);
        let program = match known {
            Some(at) => &self.programs[at].1,
            None => self.compile(link)?,
        };
        Ok(program.filter(data))
    }

    /// Does a frame of this link type pass?
    ///
    /// # Errors
    /// When the expression does not compile for the link type.
    #[cfg(not(feature = "libpcap"))]
    #[inline]
    pub fn passes(&mut self, _link: LinkType, _data: &[u8]) -> Result<bool, CaptureError> {
        Self::new(&self.expression).map(|_| false)
    }

    #[cfg(feature = "libpcap")]
    #[cold]
    fn compile(&mut self, link: LinkType) -> Result<&pcap::BpfProgram, CaptureError> {
        let program = pcap::Capture::dead(data_link(link))
            .and_then(|handle| handle.compile(&self.expression, true))
            .map_err(|error| CaptureError::Filter {
                filter: self.expression.clone(),
                why: format!("link type {}: {error}", link.0),
            })?;
        self.programs.push((link, program));
        let (_, program) = &self.programs[self.programs.len() - 1];
        Ok(program)
    }
}

/// The number that libpcap's functions use for a link type. They differ where systems once
/// disagreed; on Linux, of those that carry IP, only raw IP and ATM do.
#[cfg(feature = "libpcap")]
fn data_link(link: LinkType) -> pcap::Linktype {
    pcap::Linktype(match link {
        LinkType::RAW | LinkType(14) => 12,
        LinkType(100) => 11,
        LinkType(other) => i32::try_from(other).unwrap_or(-1),
    })
}

impl core::fmt::Debug for Filter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Filter").field(&self.expression).finish()
    }
}

#[cfg(all(test, feature = "libpcap"))]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_refused_where_no_interface_could_take_it() {
        for sound in ["udp port 53", "vlan 7 and tcp", "inbound", "type mgt subtype beacon"] {
            assert!(Filter::check(sound).is_ok(), "{sound}");
        }
        for wrong in ["udp port nosuch", "tcp and", "("] {
            assert!(Filter::check(wrong).is_err(), "{wrong}");
        }
    }
}
