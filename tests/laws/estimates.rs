//! The estimates speak of the time in which they are read, however long the sensor has run.

use vendorwatch::pipeline::Settings;
use vendorwatch::visibility::Estimate;

use crate::support::talk::{ACK, Ends, Tap};

/// Conversations of `minutes`, 128 in each, of which two are in the sample. The mirror shows
/// the server's side too, or not; of each 1,000 octets that the client sends it shows 1,000 or 500.
fn talk(tap: &mut Tap, minutes: u32, both: bool, whole: bool) {
    for _ in 0..minutes {
        for port in 40_000..40_128 {
            let ends = Ends::v4(port, 443);
            let shown = [0x17; 1_000];
            let from_client = if whole { &shown } else { &shown[..500] };
            for sent in [0, 1_000] {
                tap.frame(&ends.tcp(sent, 7_000 + sent, ACK, from_client));
                if both {
                    tap.frame(&ends.reversed().tcp(7_000 + sent, sent + 1_000, ACK, &shown));
                }
            }
        }
        tap.wait(61_000);
    }
}

fn one_way(tap: &Tap) -> f64 {
    Estimate::one_way_ratio([&tap.ledger.estimate]).unwrap().value
}

fn lost(tap: &Tap) -> f64 {
    Estimate::lost_ratio([&tap.ledger.estimate]).unwrap().value
}

/// A mirror that copied both directions for long loses one: what was does not outvote what is.
#[test]
fn a_direction_that_is_missing_since_half_an_hour_shows_after_two_hours_with_both() {
    let mut tap = Tap::new(Settings::default());
    talk(&mut tap, 2 * 60, true, true);
    assert!(one_way(&tap) < 0.01 && lost(&tap) < 0.01, "{} {}", one_way(&tap), lost(&tap));
    talk(&mut tap, 30, false, true);
    assert!(one_way(&tap) > 0.5, "{}", one_way(&tap));
    talk(&mut tap, 40, true, true);
    assert!(one_way(&tap) < 0.01, "{}: it is mended", one_way(&tap));
}

#[test]
fn octets_that_are_missing_since_half_an_hour_show_after_two_hours_without_loss() {
    let mut tap = Tap::new(Settings::default());
    talk(&mut tap, 2 * 60, true, true);
    assert!(lost(&tap) < 0.01, "{}", lost(&tap));
    talk(&mut tap, 30, true, false);
    assert!(lost(&tap) > 0.25, "{}", lost(&tap));
    talk(&mut tap, 40, true, true);
    assert!(lost(&tap) < 0.01, "{}: it is mended", lost(&tap));
}

#[test]
fn the_estimate_stays_while_nobody_talks() {
    let mut tap = Tap::new(Settings::default());
    talk(&mut tap, 10, false, true);
    for _ in 0..24 * 60 {
        tap.wait(60_000);
    }
    assert!(one_way(&tap) > 0.99, "{}", one_way(&tap));
}
