//! The page for people: what was seen of whom, what could not be seen, how busy the sensor is.
//! No scripts, no client addresses.

use core::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::Web;
use crate::export::account::{Account, Line, NOTHING_UNREAD, UNCOUNTED, left_out_by_configuration};
use crate::export::findings::moment;
use crate::time::Timestamp;

/// The whole page.
pub(super) fn render(web: &Web) -> String {
    let mut out = String::from(HEAD);
    let policy = web.policy.load();
    let state = web.metrics.correlator.load();
    let _ = writeln!(
        out,
        "<p>Version {}. {} {} indicators of {} vendors, {} of them reported \
         (signatures <code>{}</code>).</p>",
        env!("CARGO_PKG_VERSION"),
        capturing(web),
        policy.set.indicators().len(),
        policy.set.vendors().len(),
        policy.vendors().count(),
        policy.set.hash(),
    );
    out.push_str(
        "<p><a href=\"metrics\">Metrics</a> · <a href=\"-/healthy\">healthy</a> · \
         <a href=\"-/ready\">ready</a> · from this host only: \
         <a href=\"api/v1/findings\">findings</a>, <a href=\"config\">configuration</a></p>\n",
    );

    let dropped = web.metrics.workers.iter().map(|cells| cells.capture().dropped());
    let ledgers = web.metrics.workers.iter().map(|cells| cells.ledger.as_ref());
    let mut account = Account::of(ledgers, dropped.sum(), Some(&state.tally));
    for interface in web.metrics.interfaces() {
        let outages = web.metrics.outages(interface);
        account.also_unseen(outages, &format!("times that {interface} went down or away"));
    }

    out.push_str("<h2>Vendors seen</h2>\n");
    let (seen, left_out): (Vec<_>, Vec<_>) =
        state.vendors.iter().partition(|vendor| policy.takes(&vendor.key.0, vendor.key.1));
    if seen.is_empty() {
        let _ = writeln!(out, "<p>{}</p>", escape(&account.of_no_finding(left_out.len(), "row")));
    } else {
        out.push_str(
            "<table><tr><th>vendor<th>strength<th>network<th>clients<th>first seen<th>last seen\n",
        );
        for vendor in seen {
            let (id, strength, network) = &vendor.key;
            let name = policy.set.vendor(id).map_or(&**id, |vendor| &vendor.name);
            let _ = writeln!(
                out,
                "<tr><td>{}<td>{}<td>{}<td class=n>{}<td>{}<td>{}",
                escape(name),
                strength.label(),
                escape(network),
                vendor.clients,
                when(vendor.seen.first),
                when(vendor.seen.last),
            );
        }
        out.push_str("</table>\n");
        if !left_out.is_empty() {
            let _ = writeln!(out, "<p>{}</p>", left_out_by_configuration(left_out.len(), "row"));
        }
    }

    table(&mut out, "Seen", &account.seen);
    if web.filtered {
        let _ = writeln!(out, "<p>{FILTERED}</p>");
    }
    if account.unseen.is_empty() && !account.is_of_nothing() {
        let _ = writeln!(out, "<p>{NOTHING_UNREAD}</p>");
    } else if !account.unseen.is_empty() {
        table(&mut out, "Not seen, so that names may be missing", &account.unseen);
    }
    if !account.is_of_nothing() {
        let _ = writeln!(out, "<p>{UNCOUNTED}</p>");
    }

    out.push_str(
        "<h2>Load</h2>\n<table><tr><th>worker<th>interface<th>busy<th>headroom<th>frames/s\
         <th>ns/frame<th>ring<th>records waiting\n",
    );
    let load = web.load.load();
    for (number, cells) in web.metrics.workers.iter().enumerate() {
        let now = load.workers.get(number).copied().unwrap_or_default();
        let _ = writeln!(
            out,
            "<tr><td>{number}<td>{}<td class=n>{:.1} %<td class=n>{}<td class=n>{:.0}<td class=n>{:.0}\
             <td class=n>{} %<td class=n>{}",
            escape(&cells.interface),
            now.busy * 100.0,
            now.headroom().map_or_else(String::new, |times| format!("{times:.1} ×")),
            now.rate,
            now.cost,
            cells.ring_fill(),
            cells.waiting(),
        );
    }
    let _ = writeln!(
        out,
        "</table>\n<p>The correlator, which takes the records of all workers, was busy for {:.1} % \
         of the time.</p>\n</html>",
        load.correlator * 100.0,
    );
    out
}

/// Whether what passes is seen.
fn capturing(web: &Web) -> String {
    let down = web.metrics.interfaces_down();
    if !web.ready.load(Relaxed) {
        "<b>Not capturing.</b>".to_owned()
    } else if down.is_empty() {
        "Capturing.".to_owned()
    } else {
        let all = down.len() == web.metrics.interfaces().len();
        let said = if all { "Not capturing from" } else { "Capturing, but not from" };
        format!("<b>{said} {}, down or gone.</b>", escape(&down.join(", ")))
    }
}

fn table(out: &mut String, title: &str, lines: &[Line]) {
    let _ = writeln!(out, "<h2>{title}</h2>\n<table>");
    for Line { count, what } in lines {
        let _ = writeln!(out, "<tr><td class=n>{count}<td>{}", escape(what));
    }
    out.push_str("</table>\n");
}

fn when(at: Timestamp) -> String {
    if at == Timestamp::ZERO { String::new() } else { moment(at) }
}

/// The expression itself may name addresses, which are for this host only.
const FILTERED: &str = "<b>A capture filter is in force.</b> What it refuses is neither seen nor \
     counted here; the configuration has its expression.";

/// Text as HTML text.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

const HEAD: &str = "<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content=\"width=device-width\">
<title>vendorwatch</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
table { border-collapse: collapse } th { text-align: left }
th, td { padding: .15em 1em .15em 0; vertical-align: top } .n { text-align: right }
tr + tr { border-top: 1px solid #8884 } code { overflow-wrap: anywhere }
table { display: block; overflow-x: auto } td { white-space: nowrap }
.n + td:last-child { white-space: normal }
</style>
<h1>vendorwatch</h1>
";

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    use super::{FILTERED, escape, render};
    use crate::capture::Counters;
    use crate::export::metrics::WorkerCells;
    use crate::export::web::samples::web;

    #[test]
    fn an_interface_that_is_down_is_named_and_its_outages_are_in_the_account() {
        let cells = ["span0", "span1"].map(|name| Arc::new(WorkerCells::new(name.into())));
        let web = web(cells.to_vec(), &["span0", "span1"]);
        assert!(render(&web).contains("<b>Not capturing.</b>"), "it has not begun");
        web.ready.store(true, Relaxed);
        let page = render(&web);
        assert!(page.contains(" Capturing. ") && !page.contains("went down"), "{page}");
        cells[0].set_down(true);
        cells[0].set_capture(Counters { outages: 2, ..Counters::default() });
        let page = render(&web);
        assert!(page.contains("<b>Capturing, but not from span0, down or gone.</b>"), "{page}");
        assert!(page.contains("<td class=n>2<td>times that span0 went down or away"), "{page}");
        cells[1].set_link_down(true);
        let page = render(&web);
        assert!(page.contains("<b>Not capturing from span0, span1, down or gone.</b>"), "{page}");
    }

    #[test]
    fn what_a_filter_refuses_is_not_passed_over_in_silence() {
        let mut web = web(Vec::new(), &[]);
        assert!(!render(&web).contains(FILTERED));
        web.filtered = true;
        assert!(render(&web).contains(FILTERED));
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(escape("<a b=\"c\">&"), "&lt;a b=&quot;c&quot;&gt;&amp;");
    }
}
