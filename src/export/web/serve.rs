//! The connections of the HTTP face: how many there are, and how long each may take.
//!
//! The sensor needs its descriptors for interfaces and files. Whoever opens connections and asks
//! nothing, or does not read the answer, gets a share of them that has an end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// What the clients of one listener may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open at the same time. The oldest gives way to one more: a client that asks at once is
    /// answered however many others wait.
    pub connections: usize,
    /// From the connection to the end of the request's head.
    pub head: Duration,
    /// From the connection to the end of the answer.
    pub whole: Duration,
}

impl Limits {
    /// Connections that have not asked yet, beside those whose requests are served.
    const NOT_ASKED_YET: usize = 64;

    /// For a face that serves so many requests at the same time.
    #[must_use]
    pub fn for_requests(most: usize) -> Self {
        Self {
            connections: most.saturating_add(Self::NOT_ASKED_YET),
            head: Duration::from_secs(10),
            // Prometheus gives up sooner, whatever it was told.
            whole: Duration::from_secs(120),
        }
    }
}

/// Answers until `stopped` changes or its sender is gone, and then what is under way.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    let mut said = false;
    loop {
        let (stream, from) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            _ = stopped.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        if open.len() >= limits.connections
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
            if !said {
                said = true;
                let most = limits.connections;
                tracing::warn!(most, "many connections at a time; from now on the oldest give way");
            }
        }
        let answering = answer(stream, from, router.clone(), limits.head, stopped.clone());
        open.push_back(connections.spawn(async move {
            // Whoever did not read its answer by then knows.
            let _ = timeout(limits.whole, answering).await;
        }));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection, for one request: kept open it would be the oldest, and give way first.
async fn answer(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    head: Duration,
    mut stopped: watch::Receiver<()>,
) {
    let service = TowerToHyperService::new(router.layer(Extension(ConnectInfo(from))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // An error is of the client's making, and the client sees it.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::thread::JoinHandle;

    use axum::routing::get;

    use super::*;

    /// Long enough for the busiest machine; nobody waits for it who is not failing.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A face on the loopback with a thread of its own.
    struct Face {
        address: SocketAddr,
        stop: watch::Sender<()>,
        thread: JoinHandle<()>,
    }

    impl Face {
        fn start(limits: Limits) -> Self {
            let listener = crate::export::web::listen("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = watch::channel(());
            let thread = std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let router = Router::new()
                        .route("/", get(async || "well\n"))
                        .route("/never", get(async || core::future::pending::<()>().await));
                    let listener = TcpListener::from_std(listener).unwrap();
                    serve(listener, router, limits, stopped).await;
                });
            });
            Self { address, stop, thread }
        }

        fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        }

        /// A client that goes on with its request some other day.
        fn dawdle(&self) -> TcpStream {
            let mut stream = self.connect();
            stream.write_all(b"GET / HT").unwrap();
            stream
        }

        fn ask(&self) -> String {
            let mut stream = self.connect();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        }

        fn end(self) {
            self.stop.send(()).unwrap();
            self.thread.join().unwrap();
        }
    }

    /// Waits for the end of a connection that got no answer.
    fn wait_for_end(stream: &mut TcpStream) {
        match stream.read(&mut [0; 64]) {
            Ok(octets) => assert_eq!(octets, 0, "no answer to half a request"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    #[test]
    fn whoever_asks_is_answered_however_many_dawdle() {
        const MOST: usize = 4;
        let face = Face::start(Limits { connections: MOST, head: PATIENCE, whole: PATIENCE });
        let mut slow: Vec<TcpStream> = (0..3 * MOST).map(|_| face.dawdle()).collect();
        assert!(face.ask().ends_with("well\n"));
        // The last place is that of the one who asked.
        let (given_up, kept) = slow.split_at_mut(2 * MOST + 1);
        given_up.iter_mut().for_each(wait_for_end);
        for stream in kept {
            stream.set_nonblocking(true).unwrap();
            let error = stream.read(&mut [0; 64]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "still open");
        }
        drop(slow);
        face.end();
    }

    #[test]
    fn half_a_request_and_none_come_to_an_end() {
        let face = Face::start(Limits {
            connections: 4,
            head: Duration::from_millis(20),
            whole: PATIENCE,
        });
        let (mut half, mut none) = (face.dawdle(), face.connect());
        // Hyper says 408 to the one and nothing to the other.
        for stream in [&mut half, &mut none] {
            let mut said = Vec::new();
            let ended = stream.read_to_end(&mut said);
            assert!(ended.is_ok_and(|_| !said.starts_with(b"HTTP/1.1 200")), "{said:?}");
        }
        face.end();
    }

    #[test]
    fn an_answer_that_takes_too_long_comes_to_an_end() {
        let face = Face::start(Limits {
            connections: 4,
            head: PATIENCE,
            whole: Duration::from_millis(20),
        });
        let mut stream = face.connect();
        stream.write_all(b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        wait_for_end(&mut stream);
        face.end();
    }

    #[test]
    fn a_stop_waits_for_nobody_who_has_not_asked() {
        let face = Face::start(Limits { connections: 4, head: PATIENCE, whole: PATIENCE });
        let mut none = face.connect();
        assert!(face.ask().ends_with("well\n"));
        face.end();
        wait_for_end(&mut none);
    }
}
