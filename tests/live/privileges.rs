//! What the daemon can do once it has given up its privileges.

use vendorwatch::capture::netlink;

use super::daemon::Daemon;
use super::lab::{Lab, Sender};
use super::packets::{End, Flag, SERVER, tcp};

/// Loading the driver's program takes CAP_NET_ADMIN, which is given up; moving what is loaded to an
/// interface that was made anew does not.
#[test]
#[ignore = "needs root"]
fn an_interface_that_comes_back_is_filtered_again() {
    let _lab = Lab::new();
    let daemon = Daemon::start(&["-i", "span", "--capture=xdp"]);
    daemon.wait_until("listening", || daemon.said().contains("listening"));
    let filtered = || netlink::link("span").unwrap().is_some_and(|link| link.xdp_program.is_some());
    assert!(filtered(), "{}", daemon.said());

    let is_up = || daemon.sum("vendorwatch_capture_up", "span") > 0.0;
    let skipped = || daemon.sum("vendorwatch_capture_skipped_packets_total", "span");
    let delivered = || daemon.sum("vendorwatch_worker_packets_total", "worker");
    let client = End([192, 0, 2, 10], 40_000);
    let syn = tcp(client, SERVER, Flag::Syn, 999, 0, b"");
    let bulk = tcp(client, SERVER, Flag::Ack, 900_000, 1, &[0x17; 500]);
    let mut expected = (0.0, 0.0);
    let mut send_both = || {
        let sender = Sender::on("wire");
        sender.send(&syn);
        sender.send(&bulk);
        expected = (expected.0 + 1.0, expected.1 + 1.0);
        daemon.wait_until("delivered and left out", || (delivered(), skipped()) == expected);
    };
    send_both();
    Lab::unplug();
    daemon.wait_until("down", || !is_up());
    Lab::plug();
    daemon.wait_until("up", || is_up() && filtered());
    send_both();
}
