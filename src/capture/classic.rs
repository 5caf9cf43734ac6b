//! Filters in the syntax of tcpdump, as classic BPF for the kernel.

use crate::capture::CaptureError;
use crate::capture::sys::Instruction;

/// Compiles `text` for the frames of `interface`.
///
/// # Errors
/// When it does not compile, or in a build without libpcap, which has the compiler.
#[cfg(feature = "libpcap")]
pub fn compile(interface: &str, text: &str) -> Result<Vec<Instruction>, CaptureError> {
    /// The kernel keeps as many octets of a frame as the filter returns; libpcap returns this.
    const WHOLE: i32 = 262_144;
    /// The handle only lends its knowledge of the interface; nothing is read from it.
    const SMALLEST_BUFFER: i32 = 2 * WHOLE;

    let wrong = |why: String| CaptureError::Filter { filter: text.to_owned(), why };
    // A handle on the interface and not a dead one: it knows that the kernel takes VLAN tags out
    // of the octets, and makes the word `vlan` look where they are kept.
    let program = pcap::Capture::from_device(interface)
        .and_then(|handle| handle.snaplen(WHOLE).buffer_size(SMALLEST_BUFFER).open())
        .and_then(|handle| handle.compile(text, true))
        .map_err(|error| wrong(error.to_string()))?;
    program
        .get_instructions()
        .iter()
        .map(|instruction| {
            parse(&instruction.to_string()).ok_or_else(|| wrong("unreadable program".into()))
        })
        .collect()
}

/// Compiles `text` for the frames of `interface`.
///
/// # Errors
/// Always: the compiler is libpcap's.
#[cfg(not(feature = "libpcap"))]
pub fn compile(_interface: &str, text: &str) -> Result<Vec<Instruction>, CaptureError> {
    Err(CaptureError::Filter {
        filter: text.to_owned(),
        why: "this build has no filter compiler (feature `libpcap`)".to_owned(),
    })
}

/// An instruction as `tcpdump -ddd` prints it: code, jumps and operand, in decimal. The crate
/// `pcap` shows its instructions in no other way.
#[cfg(feature = "libpcap")]
fn parse(text: &str) -> Option<Instruction> {
    let mut fields = text.split(' ');
    let instruction = Instruction {
        code: fields.next()?.parse().ok()?,
        jump_true: fields.next()?.parse().ok()?,
        jump_false: fields.next()?.parse().ok()?,
        operand: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(instruction)
}

#[cfg(all(test, feature = "libpcap"))]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_read_back_exactly() {
        let handle = pcap::Capture::dead(pcap::Linktype::ETHERNET).unwrap();
        let program = handle.compile("udp port 53", true).unwrap();
        let read: Vec<_> =
            program.get_instructions().iter().map(|i| parse(&i.to_string()).unwrap()).collect();
        // ldh [12]: the ethertype comes first, and refusal is `ret #0`.
        assert_eq!(read[0], Instruction { code: 0x28, jump_true: 0, jump_false: 0, operand: 12 });
        assert!(read.contains(&Instruction::REFUSE));
        assert_eq!(parse("40 0 0"), None);
        assert_eq!(parse("40 0 0 12 1"), None);
        assert_eq!(parse("40 256 0 12"), None);
    }
}
