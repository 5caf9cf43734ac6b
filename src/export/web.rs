//! The HTTP face: metrics, health, a page for people, and what only this host may see.
//!
//! Anyone may read metrics, health and the page. Whatever shows client addresses, and reload, is
//! for connections from this host alone whose `Host` names this host too: a page in a browser
//! here cannot be made to fetch it under a name of its own (DNS rebinding).

mod page;
mod serve;

pub use serve::{Limits, serve};

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::findings;
use super::metrics::Metrics;
use crate::config::Policy;
use crate::detect::Finding;
use crate::detect::summary::by_client;
use crate::net::Addr;

/// The port that exporters of this kind have been given ("Default port allocations" of the
/// Prometheus wiki). The default of `web.listen_address` has it too.
pub const DEFAULT_PORT: u16 = 10_064;

/// What the pages ask of the rest of the process.
#[derive(Debug)]
pub enum Ask {
    /// Read configuration and signatures again; the answer is the reason of a refusal.
    Reload(oneshot::Sender<Result<(), String>>),
    /// The findings in memory.
    Findings(oneshot::Sender<Vec<Finding>>),
}

/// What the pages show.
#[derive(Debug)]
pub struct Web {
    pub metrics: Arc<Metrics>,
    pub policy: Arc<ArcSwap<Policy>>,
    /// Capturing, with signatures.
    pub ready: AtomicBool,
    /// By an expression: what it refuses is neither seen nor counted.
    pub filtered: bool,
    /// The configuration in force, as text.
    pub config: ArcSwap<String>,
    /// How busy each worker was lately.
    pub load: ArcSwap<Load>,
    pub asks: mpsc::Sender<Ask>,
    /// Requests being served.
    pub requests: Semaphore,
}

/// How busy the threads were over the last while.
#[derive(Clone, Debug, Default)]
pub struct Load {
    pub workers: Vec<WorkerLoad>,
    /// Share of the time spent on records, 0 to 1.
    pub correlator: f64,
}

/// How one worker did over the last while.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerLoad {
    /// Share of the time spent on frames, 0 to 1.
    pub busy: f64,
    /// Frames a second.
    pub rate: f64,
    /// Nanoseconds a frame.
    pub cost: f64,
}

impl WorkerLoad {
    /// How many times these frames it could have taken in the same time; `None` when it had none.
    #[must_use]
    pub fn headroom(&self) -> Option<f64> {
        (self.busy > 0.0).then(|| 1.0 / self.busy)
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("`{0}` is not an address to listen on, such as :10064, 127.0.0.1:10064 or [::1]:10064")]
    Address(String),
    #[error("web.listen_address: {second} cannot be listened on beside {first}; leave one out")]
    Twice { first: String, second: String },
    #[error("cannot listen on {address}: {why}")]
    Listen { address: String, why: std::io::Error },
}

/// Why these could not all be listened on, as far as the text tells.
#[must_use]
pub fn check(addresses: &[String]) -> Vec<ListenError> {
    let mut faults = Vec::new();
    let mut sound: Vec<(&String, (&str, u16))> = Vec::new();
    for address in addresses {
        match host_and_port(address) {
            Err(wrong) => faults.push(wrong),
            Ok(place) => match sound.iter().find(|(_, taken)| overlap(*taken, place)) {
                Some((first, _)) => faults
                    .push(ListenError::Twice { first: (*first).clone(), second: address.clone() }),
                None => sound.push((address, place)),
            },
        }
    }
    faults
}

/// Would the second of them be in use? Whether all addresses of IPv6 have those of IPv4 in them is
/// the host's choice (bindv6only), and left to it. Port 0 is another each time.
fn overlap(one: (&str, u16), other: (&str, u16)) -> bool {
    let address = |host: &str| match host {
        "" => Some(IpAddr::from([0_u16; 8])),
        host => host.trim_matches(['[', ']']).parse::<IpAddr>().ok(),
    };
    let is_one_place = match (address(one.0), address(other.0)) {
        (Some(one), Some(other)) => {
            one == other
                || one.is_ipv4() == other.is_ipv4()
                    && (one.is_unspecified() || other.is_unspecified())
        }
        _ => one.0.eq_ignore_ascii_case(other.0),
    };
    one.1 == other.1 && one.1 != 0 && is_one_place
}

/// What is before the last colon, and the port behind it. The host may be a name.
fn host_and_port(address: &str) -> Result<(&str, u16), ListenError> {
    let wrong = || ListenError::Address(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let is_odd = host.contains(|c: char| c == '/' || c.is_whitespace())
        || (host.contains(['[', ']']) && address.parse::<SocketAddr>().is_err());
    if is_odd { Err(wrong()) } else { Ok((host, port)) }
}

/// Opens a listener; `:PORT` means all addresses of this host.
pub fn listen(address: &str) -> Result<TcpListener, ListenError> {
    let failed = |why| ListenError::Listen { address: address.to_owned(), why };
    let (host, port) = host_and_port(address)?;
    let listener = if host.is_empty() {
        // An IPv6 socket takes IPv4 too (Linux, bindv6only=0); a host without IPv6 has only that.
        match TcpListener::bind(SocketAddr::from(([0_u16; 8], port))) {
            Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                TcpListener::bind(SocketAddr::from(([0_u8; 4], port)))
            }
            bound => bound,
        }
    } else {
        TcpListener::bind(address)
    }
    .map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// All pages.
pub fn router(web: Arc<Web>) -> Router {
    let local = Router::new()
        .route("/-/reload", post(reload))
        .route("/api/v1/findings", get(api_findings))
        .route("/config", get(config))
        // Not a layer: that would answer for every path that is not there, too.
        .route_layer(axum::middleware::from_fn(only_local));
    Router::new()
        .route("/", get(landing))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(async || "vendorwatch is healthy.\n"))
        .route("/-/ready", get(ready))
        .merge(local)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&web), few_at_a_time))
        .with_state(web)
}

async fn few_at_a_time(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    match web.requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time\n").into_response()
        }
    }
}

async fn only_local(
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    if from.ip().to_canonical().is_loopback() && names_this_host(host) {
        next.run(request).await
    } else {
        let why = "only this host may ask that, under the name localhost\n";
        (StatusCode::FORBIDDEN, why).into_response()
    }
}

/// Does a `Host` field (RFC 9110 §7.2) name the loopback?
fn names_this_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn metrics(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let zipped = accepts_gzip(&headers);
    // Gathering takes milliseconds: not on the thread that answers everyone.
    let rendered = tokio::task::spawn_blocking(move || {
        let text = web.metrics.render().map_err(|error| error.to_string())?;
        if !zipped {
            return Ok(text.into_bytes());
        }
        let fast = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), fast);
        encoder
            .write_all(text.as_bytes())
            .and_then(|()| encoder.finish())
            .map_err(|error| error.to_string())
    })
    .await
    .unwrap_or_else(|error| Err(error.to_string()));
    match rendered {
        Ok(body) => {
            let mut response = body.into_response();
            let fields = response.headers_mut();
            if let Ok(kind) = "text/plain; version=0.0.4; charset=utf-8".parse() {
                fields.insert(CONTENT_TYPE, kind);
            }
            if zipped && let (Ok(gzip), Ok(vary)) = ("gzip".parse(), "Accept-Encoding".parse()) {
                fields.insert(CONTENT_ENCODING, gzip);
                fields.insert(VARY, vary);
            }
            response
        }
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response(),
    }
}

/// RFC 9110 §12.5.3, as far as `gzip` is named and not refused.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            name.trim().eq_ignore_ascii_case("gzip") && !refused
        })
    })
}

async fn ready(State(web): State<Arc<Web>>) -> Response {
    let down = web.metrics.interfaces_down();
    if web.ready.load(Relaxed) && down.len() < web.metrics.interfaces().len() {
        "vendorwatch is capturing.\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "vendorwatch is not capturing.\n").into_response()
    }
}

async fn reload(State(web): State<Arc<Web>>) -> Response {
    let (answer, answered) = oneshot::channel();
    let refused = if web.asks.send(Ask::Reload(answer)).await.is_err() {
        Some("vendorwatch is stopping".to_owned())
    } else {
        match answered.await {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some("vendorwatch is stopping".to_owned()),
        }
    };
    match refused {
        None => "reloaded\n".into_response(),
        Some(why) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("the old configuration stays: {why}\n"))
                .into_response()
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    vendor: Option<String>,
    network: Option<String>,
    client: Option<IpAddr>,
}

impl Wanted {
    /// A name that nobody knows is a mistake: the answer to it would be nothing.
    fn unknown(&self, policy: &Policy, all: &[Finding]) -> Option<String> {
        if let Some(vendor) = &self.vendor
            && policy.set.vendor(vendor).is_none()
            && !all.iter().any(|finding| *finding.key.vendor == **vendor)
        {
            return Some(format!(
                "vendor={vendor}: neither the signatures nor a finding know it\n"
            ));
        }
        if let Some(network) = &self.network
            && !policy.knows_network(network)
            && !all.iter().any(|finding| *finding.key.network == **network)
        {
            return Some(format!(
                "network={network}: neither the configured networks nor a finding know it\n"
            ));
        }
        None
    }
}

async fn api_findings(State(web): State<Arc<Web>>, Query(wanted): Query<Wanted>) -> Response {
    let (answer, answered) = oneshot::channel();
    if web.asks.send(Ask::Findings(answer)).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let Ok(all) = answered.await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let policy = web.policy.load();
    if let Some(why) = wanted.unknown(&policy, &all) {
        return (StatusCode::BAD_REQUEST, why).into_response();
    }
    // Who is asked for by name is shown, whatever is reported otherwise.
    let (reported, left_out): (Vec<&Finding>, Vec<&Finding>) = all.iter().partition(|finding| {
        wanted.vendor.is_some() || policy.takes(&finding.key.vendor, finding.key.strength)
    });
    let client = wanted.client.map(Addr::from);
    let is_wanted = |finding: &Finding| {
        let key = &finding.key;
        wanted.vendor.as_ref().is_none_or(|vendor| **vendor == *key.vendor)
            && wanted.network.as_ref().is_none_or(|network| **network == *key.network)
            && client.is_none_or(|client| client == key.client)
    };
    let left_out = left_out.into_iter().filter(|finding| is_wanted(finding)).count();
    let context = findings::Context::of(&policy);
    // How a client may be spoken of rests on all of its findings, not only on those wanted.
    let list: Vec<_> = by_client(reported)
        .into_iter()
        .filter(|(_, finding)| is_wanted(finding))
        .map(|(observed, finding)| findings::finding(observed, finding, &context))
        .collect();
    let answer = serde_json::json!({ "findings": list, "left_out_by_configuration": left_out });
    axum::Json(answer).into_response()
}

async fn config(State(web): State<Arc<Web>>) -> String {
    web.config.load().to_string()
}

async fn landing(State(web): State<Arc<Web>>) -> Html<String> {
    Html(page::render(&web))
}

#[cfg(test)]
mod samples {
    use super::*;
    use crate::export::metrics::WorkerCells;
    use crate::signature::Selection;
    use crate::time::Timestamp;

    /// The pages of a process that has not begun to capture, without signatures.
    pub(super) fn web(workers: Vec<Arc<WorkerCells>>, interfaces: &[&str]) -> Web {
        let policy = Arc::new(ArcSwap::from_pointee(Policy {
            set: Arc::default(),
            networks: Arc::default(),
            exceptions: Arc::default(),
            selection: Selection::default(),
            loaded: Timestamp::ZERO,
        }));
        let interfaces = interfaces.iter().map(|name| Arc::from(*name)).collect();
        let metrics = Metrics::new(Arc::clone(&policy), workers, interfaces, "test").unwrap();
        Web {
            metrics: Arc::new(metrics),
            policy,
            ready: AtomicBool::new(false),
            filtered: false,
            config: ArcSwap::default(),
            load: ArcSwap::default(),
            asks: mpsc::channel(1).0,
            requests: Semaphore::new(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::metrics::WorkerCells;

    #[test]
    fn it_is_ready_while_one_interface_delivers_frames() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let cells = ["span0", "span1"].map(|name| Arc::new(WorkerCells::new(name.into())));
        let web = Arc::new(samples::web(cells.to_vec(), &["span0", "span1"]));
        let status = || runtime.block_on(ready(State(Arc::clone(&web)))).status();
        assert_eq!(status(), StatusCode::SERVICE_UNAVAILABLE, "not begun");
        web.ready.store(true, Relaxed);
        assert_eq!(status(), StatusCode::OK);
        cells[0].set_link_down(true);
        assert_eq!(status(), StatusCode::OK);
        cells[1].set_down(true);
        assert_eq!(status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_page_that_is_not_there_is_not_found_wherever_it_is_asked_from() {
        use hyper::service::Service as _;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let router = router(Arc::new(samples::web(Vec::new(), &[])));
        let service = hyper_util::service::TowerToHyperService::new(router);
        let status = |from: &str, path: &str| {
            let from = ConnectInfo(from.parse::<SocketAddr>().unwrap());
            let request = Request::get(path).header(HOST, "localhost").extension(from);
            let request = request.body(axum::body::Body::empty()).unwrap();
            runtime.block_on(service.call(request)).unwrap().status()
        };
        for (from, local) in
            [("127.0.0.1:9", StatusCode::OK), ("192.0.2.1:9", StatusCode::FORBIDDEN)]
        {
            assert_eq!(status(from, "/config"), local, "{from}");
            assert_eq!(status(from, "/-/healthy"), StatusCode::OK, "{from}");
            for path in ["/metrics/", "/metric", "/favicon.ico", "/api/v1"] {
                assert_eq!(status(from, path), StatusCode::NOT_FOUND, "{from} {path}");
            }
        }
    }

    #[test]
    fn only_names_of_the_loopback_name_this_host() {
        for host in ["localhost", "localhost:10064", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:9"]
        {
            assert!(names_this_host(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:10064", "192.0.2.1:1", "[2001:db8::1]:1"] {
            assert!(!names_this_host(host), "{host}");
        }
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for (accepted, zipped) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, accepted.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), zipped, "{accepted}");
        }
    }

    #[test]
    fn a_port_in_use_and_a_bad_address_are_told_apart() {
        let first = listen("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap().to_string();
        let refusal = listen(&address).unwrap_err();
        assert!(refusal.to_string().contains("cannot listen on 127.0.0.1:"), "{refusal}");
        for wrong in ["10064", ":many", "127.0.0.1:65536", "[zz]:1", "http://localhost:1", ""] {
            assert!(matches!(listen(wrong), Err(ListenError::Address(_))), "{wrong}");
        }
        for sound in [":1", "127.0.0.1:1", "[::1]:1", "localhost:1"] {
            assert!(check(&[sound.to_owned()]).is_empty(), "{sound}");
        }
    }

    #[test]
    fn what_only_one_listener_can_have_is_not_for_two() {
        let faults = |two: [&str; 2]| check(&two.map(str::to_owned));
        for two in [
            [":1", ":1"],
            ["localhost:1", "LOCALHOST:1"],
            ["127.0.0.1:1", "0.0.0.0:1"],
            ["[::1]:1", "[0::1]:1"],
            ["[::1]:1", ":1"],
        ] {
            let faults = faults(two);
            assert!(matches!(&faults[..], [ListenError::Twice { .. }]), "{two:?}: {faults:?}");
        }
        for two in [
            [":1", ":2"],
            [":0", ":0"],
            ["127.0.0.1:1", "127.0.0.2:1"],
            ["127.0.0.1:1", "[::1]:1"],
            ["0.0.0.0:1", "[::1]:1"],
        ] {
            assert!(faults(two).is_empty(), "{two:?}");
        }
    }
}
