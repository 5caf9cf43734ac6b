use memchr::memmem;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

pub(crate) type Seen = Vec<(u32, Vec<(Signal, String)>)>;

/// Feeds a stream cut at `cuts`, as the pipeline does; gives what was seen and how it ended.
pub(crate) fn run(stream: &[u8], cuts: &[usize]) -> (Seen, Progress, usize) {
    let mut http = Http1::default();
    let mut seen = Vec::new();
    let mut observe = |observation: Observation<'_>| {
        let Observation::Names { offset, names } = observation else { panic!("not names") };
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        seen.push((offset, names.iter().map(|(signal, name)| (*signal, text(name))).collect()));
    };
    let (mut start, mut wanted) = (0, 0);
    for &end in cuts.iter().chain([&stream.len()]) {
        if end < start + wanted || end == start {
            continue;
        }
        match http.push(&stream[start..end], &mut observe) {
            Progress::More { consumed, need } => {
                start += consumed;
                wanted = need;
            }
            progress @ Progress::Next { consumed } => {
                return (seen, progress, start + consumed);
            }
            Progress::Done => return (seen, Progress::Done, start),
        }
    }
    http.end(&stream[start..], &mut observe);
    (seen, Progress::More { consumed: 0, need: wanted }, start)
}

fn names(stream: &[u8]) -> Vec<String> {
    let (seen, ..) = run(stream, &[]);
    seen.into_iter().flat_map(|(_, names)| names).map(|(_, name)| name).collect()
}

const SESSION: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example:80\r\nAccept: */*\r\n\r\n\
    POST /x HTTP/1.1\r\nhost:\r\n b.example\r\nContent-Length: 23\r\n\r\nGET / HTTP/1.1\r\nHost: n\
    \r\nPUT http://c.example/y HTTP/1.1\r\nHost: d.example\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;x=y\r\nHost:\r\n1B\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: n\r\n0\r\nTrailer: Host: n\r\n\r\n\
    OPTIONS * HTTP/1.0\nHost: e.example\n\n\
    CONNECT f.example:443 HTTP/1.1\r\nHost: f.example\r\n\r\n\x16\x03\x01";

fn expected() -> Seen {
    let host = |name: &str| (Signal::HttpHost, name.to_owned());
    let target = |name: &str| (Signal::HttpTarget, name.to_owned());
    let at =
        |start: &[u8]| sequence_space(memmem::find(SESSION, start).expect("it is in the session"));
    vec![
        (0, vec![host("a.example")]),
        (at(b"POST"), vec![host("b.example")]),
        (at(b"PUT"), vec![target("c.example"), host("d.example")]),
        (at(b"OPTIONS"), vec![host("e.example")]),
        (
            at(b"CONNECT"),
            vec![
                (Signal::ProxyConnect, "f.example".into()),
                target("f.example"),
                host("f.example"),
            ],
        ),
    ]
}

#[test]
fn a_body_is_chunked_where_that_is_its_last_coding() {
    let session = |codings: &str, body: &str| {
        let rest = "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n";
        format!(
            "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\
             Transfer-Encoding: {codings}\r\n\r\n{body}{rest}"
        )
    };
    for codings in ["chunked", "Chunked", "gzip, chunked", "gzip,CHUNKED "] {
        let stream = session(codings, "3\r\nGET\r\n0\r\n\r\n");
        assert_eq!(names(stream.as_bytes()), ["a.example", "b.example"], "{codings}");
    }
    for codings in ["xchunked", "identity", "chunkedfoo"] {
        let stream = session(codings, "hello");
        assert_eq!(names(stream.as_bytes()), ["a.example", "b.example"], "{codings}");
    }
}

#[test]
fn requests_follow_each_other_past_their_bodies() {
    let (seen, progress, at) = run(SESSION, &[]);
    assert_eq!(seen, expected());
    assert!(matches!(progress, Progress::Next { .. }));
    assert_eq!(SESSION[at..], *b"\x16\x03\x01");
}

#[test]
fn what_is_not_a_request_is_left() {
    for stream in [
        &b"EHLO a.example\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"OPTIONS sip:a.example SIP/2.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"get / HTTP/1.1\r\n",
        b"\x16\x03\x01\x00\x10",
        b"MOVE \x01\x02",
    ] {
        assert_eq!(Http1::probe(stream), Probe::NotOurs, "{stream:?}");
        assert!(!Http1::may_begin(stream));
    }
    for len in 0..16 {
        let stream = &b"GET / HTTP/1.1\r\n"[..len];
        assert_eq!(Http1::probe(stream), Probe::Unsure, "{len}");
    }
    assert_eq!(Http1::probe(b"M-SEARCH * HTTP/1.1\r\n"), Probe::Certain);
}

/// Behind a usual method, as scanners and broken clients send them; however the line is cut.
#[test]
fn a_control_octet_in_a_target_hides_no_name() {
    for target in [&b"/a\x01b"[..], b"/\0", b"/\x7f?\x0b"] {
        let line = [b"GET ", target, b" HTTP/1.1\r\n"].concat();
        let stream = [&line[..], b"Host: a.example\r\n\r\n"].concat();
        assert_eq!(names(&stream), ["a.example"]);
        for len in 0..=stream.len() {
            let probe = Http1::probe(&stream[..len]);
            assert_eq!(probe == Probe::Certain, len >= line.len(), "{len}");
            assert_ne!(probe, Probe::NotOurs, "{len}");
        }
    }
}

#[test]
fn a_request_may_claim_any_version() {
    for version in ["HTTP/0.9", "HTTP/1.0", "HTTP/1.9", "HTTP/2.0", "http/1.1", "Http/3.0"] {
        let request = format!("GET / {version}\r\nHost: a.example\r\n\r\n");
        assert_eq!(Http1::probe(request.as_bytes()), Probe::Certain, "{version}");
        assert!(Http1::may_begin(request.as_bytes()));
        assert_eq!(names(request.repeat(2).as_bytes()), ["a.example"; 2], "{version}");
    }
    for version in ["HTTP", "HTTP/", "HTTP/1", "HTTP/d.1", "HTTP/1.1x", "RTSP/1.0", "ICAP/1.0"] {
        let request = format!("GET / {version}\r\nHost: a.example\r\n\r\n");
        assert_eq!(Http1::probe(request.as_bytes()), Probe::NotOurs, "{version}");
    }
}

#[test]
fn any_method_may_begin_a_request_in_the_middle_of_a_connection() {
    for method in ["GET", "POST", "NOTIFY", "SUBSCRIBE", "LOCK", "QUERY", "RPC_IN_DATA"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert!(Http1::may_begin(request.as_bytes()), "{method}");
    }
    assert!(Http1::may_begin(b"GET / HT"));
    for other in [&b"NOTIFY / HT"[..], b"NOTIFY sip:a.example SIP/2.0\r\n", &[b'A'; 1_400]] {
        assert!(!Http1::may_begin(other));
    }
}

#[test]
fn a_head_that_breaks_off_gives_what_was_there() {
    assert_eq!(names(b"GET / HTTP/1.1\r\nHost: a.example\r\n"), ["a.example"]);
    assert_eq!(names(b"GET / HTTP/1.1\r\nHost: a.exam"), [""; 0]);
    assert_eq!(names(b"GET http://a.example/ HTTP/1.1\r\nHo"), ["a.example"]);
    assert_eq!(names(b"GET / HTTP/1.1\r\nHost:"), [""; 0]);
}

#[test]
fn a_long_line_is_passed_over() {
    let mut stream = b"GET / HTTP/1.1\r\nCookie: ".to_vec();
    stream.extend(vec![b'c'; 100_000]);
    stream.extend(b"\r\nHost: a.example\r\n\r\n");
    let cuts: Vec<_> = (0..stream.len()).step_by(1_000).collect();
    let (seen, ..) = run(&stream, &cuts);
    assert_eq!(seen, [(0, vec![(Signal::HttpHost, "a.example".into())])]);
}

#[test]
fn http_2_is_handed_on_with_its_preface() {
    let (_, progress, at) =
        run(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\n", &[]);
    assert!(matches!(progress, Progress::Next { .. }));
    assert_eq!(at, 32);
}

#[test]
fn tls_is_handed_on_after_an_upgrade() {
    let request = b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\nUpgrade: TLS/1.2\r\n\r\n";
    let (seen, progress, at) = run(&[&request[..], b"\x16\x03\x01\x02\x00"].concat(), &[]);
    assert_eq!(seen, [(0, vec![(Signal::HttpHost, "a.example".into())])]);
    assert!(matches!(progress, Progress::Next { .. }));
    assert_eq!(at, request.len());
}

proptest! {
    /// However the stream is cut into segments: the same requests.
    #[test]
    fn cuts_do_not_matter(cuts in prop::collection::vec(any::<Index>(), 0..40)) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(SESSION.len())).collect();
        cuts.sort_unstable();
        let (seen, _, at) = run(SESSION, &cuts);
        prop_assert_eq!(seen, expected());
        prop_assert_eq!(at, SESSION.len() - 3);
    }

    #[test]
    fn garbage_is_survived(
        stream in prop::collection::vec(prop_oneof![
            any::<u8>().prop_map(|octet| vec![octet]),
            Just(b"\r\n".to_vec()),
            Just(b"GET / HTTP/1.1\r\n".to_vec()),
            Just(b"Transfer-Encoding: chunked\r\n\r\n".to_vec()),
            Just(b"Content-Length: 9\r\n".to_vec()),
            Just(b"ffffffffffffffff\r\n".to_vec()),
        ], 0..60),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let stream = stream.concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        run(&stream, &cuts);
    }
}
