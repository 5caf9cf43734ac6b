//! What `interfaces` says of an interface of our own.

use std::process::Command;

use vendorwatch::capture::interfaces::{Distortion, State, distortions, interfaces};

use super::lab::{Lab, ip};
use crate::support::process::{program, said};

#[test]
#[ignore = "needs root"]
fn settings_that_distort_a_mirror_are_named() {
    let _lab = Lab::new();
    let span = || interfaces().unwrap().into_iter().find(|found| found.name == "span").unwrap();
    // The kernel tells of a carrier that came or went a little later.
    let in_state = |state| {
        (0..500)
            .map(|_| {
                std::thread::yield_now();
                span()
            })
            .find(|span| span.state == state)
            .unwrap_or_else(|| panic!("never {state:?}"))
    };
    let before = in_state(State::Up);
    assert_eq!(before.driver.as_deref(), Some("veth"));
    assert_eq!(before.addresses, [] as [std::net::IpAddr; 0]);
    assert_eq!((before.no_ring, before.no_xdp), (None, None));
    assert!(before.distortions.contains(&Distortion::SmallMtu(1_500)));

    ip(&["link", "set", "span", "mtu", "9000"]);
    ip(&["address", "add", "192.0.2.1/24", "dev", "span"]);
    ip(&["link", "set", "wire", "down"]);
    let after = in_state(State::NoCarrier);
    assert!(!after.distortions.contains(&Distortion::SmallMtu(9_000)));
    assert_eq!(after.addresses.len(), 1);
    assert!(after.no_xdp.unwrap().contains("192.0.2.1"));
}

#[test]
#[ignore = "needs root"]
fn joined_packets_are_named_while_they_are_joined() {
    const ADVICE: &str = "`ethtool -K span gro off`";
    let _lab = Lab::new();
    for setting in ["on", "off", "on"] {
        said(Command::new("ethtool").args(["-K", "span", "gro", setting]));
        let found = distortions("span").unwrap();
        let joined = found.contains(&Distortion::GenericReceiveOffload);
        assert_eq!(joined, setting == "on", "{setting}: {found:?}");
        // No card joins what passes through a veth.
        assert!(!found.contains(&Distortion::HardwareReceiveOffload), "{found:?}");
        assert!(!found.contains(&Distortion::LargeReceiveOffload), "{found:?}");
        let shown = said(program().args(["interfaces", "span"]));
        assert_eq!(shown.contains(ADVICE), setting == "on", "{setting}: {shown}");
    }
}
